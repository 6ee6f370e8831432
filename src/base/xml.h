/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libxml2 with limits for documents from outside, and a small writer for the documents we produce. */
#pragma once

#include <libxml/tree.h>
#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "error.h"

static inline void xml_doc_p(xmlDoc **doc)
{
	if (*doc)
		xmlFreeDoc(*doc);
}
#define _cleanup_xml_ _cleanup_(xml_doc_p)

/* No network, no DTD, no entities, nesting at most 240 (libxml2 ends at 256; a chain of 200 images is one), text at most 4 MiB (the protocol's string). */
#define XML_TEXT_MAX  (4u << 20)
#define XML_DEPTH_MAX 240
int xml_parse(const char *text, size_t len, const char *root, xmlDoc **ret, struct error *err);

/* Attribute or child text. Results are owned by the caller and NULL when there is none. */
char *xml_attr(const xmlNode *node, const char *name);
char *xml_text(const xmlNode *node); /* without leading and trailing white space; NULL when nothing is left */
const xmlNode *xml_child(const xmlNode *node, const char *name); /* first one, or NULL */
char *xml_child_text(const xmlNode *node, const char *name);
char *xml_child_attr(const xmlNode *node, const char *child, const char *attr);
bool xml_is(const xmlNode *node, const char *name); /* an element in a namespace never is */

/* The subtree as text, namespaces included, as it was given. */
char *xml_serialise(const xmlNode *node);

/* Over element children only. */
const xmlNode *xml_first(const xmlNode *node);
const xmlNode *xml_next(const xmlNode *node);
#define XML_FOREACH(child, node) for (const xmlNode *child = xml_first(node); child; child = xml_next(child))

/* Writer: two spaces of indentation, attributes in single quotes, everything escaped. */
struct xml_writer {
	struct buf *out;
	unsigned depth;
	bool open; /* a start tag still waits for its '>' */
	bool text; /* text was written: the end tag stays on the line */
};

void xml_begin(struct xml_writer *w, const char *name);
void xml_end(struct xml_writer *w, const char *name); /* "<a/>" when it has no content */
void xml_put_attr(struct xml_writer *w, const char *name, const char *value); /* NULL: nothing */
void xml_put_attrf(struct xml_writer *w, const char *name, const char *fmt, ...) _printf_(3, 4);
void xml_put_text(struct xml_writer *w, const char *text);
void xml_element(struct xml_writer *w, const char *name, const char *text); /* NULL: nothing */
void xml_elementf(struct xml_writer *w, const char *name, const char *fmt, ...) _printf_(3, 4);
void xml_raw(struct xml_writer *w, const char *xml); /* well-formed text, indented as a block */
