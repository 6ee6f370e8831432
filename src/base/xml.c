/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* XML parsed within limits, looked at, and written. */
#include "xml.h"

#include <ctype.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <stdarg.h>
#include <string.h>

#include "alloc.h"

/*
 * The limits are held while libxml2 parses, by our functions in front of its own: nothing is built from a
 * document that is refused, and the time it takes does not depend on how much of it follows.
 */
struct guard {
	startElementNsSAX2Func start; /* libxml2's own */
	endElementNsSAX2Func end;
	unsigned depth;
	bool refused;
	struct error *err;
};

/* The first complaint is the one that helps: what follows is its consequence. */
static void complain(struct guard *guard, int line, const char *why)
{
	if (!guard->refused)
		error_set(guard->err, ERROR_XML, "XML line %d: %s", line, why);
	guard->refused = true;
}

static void refuse(xmlParserCtxt *ctxt, const char *why)
{
	complain(ctxt->_private, ctxt->input ? ctxt->input->line : 0, why);
	xmlStopParser(ctxt);
}

static void on_doctype(void *data, const xmlChar *name, const xmlChar *external, const xmlChar *system)
{
	refuse(data, "a document type declaration is not allowed");
}

static void on_start(void *data, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri,
	int n_namespaces, const xmlChar **namespaces, int n_attributes, int n_defaulted,
	const xmlChar **attributes)
{
	xmlParserCtxt *ctxt = data;
	struct guard *guard = ctxt->_private;

	if (guard->refused)
		return;
	if (++guard->depth > XML_DEPTH_MAX) {
		refuse(ctxt, "elements are nested too deeply");
		return;
	}
	guard->start(
		ctxt, name, prefix, uri, n_namespaces, namespaces, n_attributes, n_defaulted, attributes);
}

static void on_end(void *data, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri)
{
	xmlParserCtxt *ctxt = data;
	struct guard *guard = ctxt->_private;

	if (guard->refused)
		return;
	guard->depth--;
	guard->end(ctxt, name, prefix, uri);
}

/* libxml2 ends its messages with a newline and quotes what it found, whatever that was. */
static char *one_line(const char *text)
{
	char *copy = xstrdup(text ? text : "not well-formed");
	size_t len = strlen(copy);

	while (len > 0 && (copy[len - 1] == '\n' || copy[len - 1] == ' '))
		copy[--len] = '\0';
	for (char *p = copy; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	return copy;
}

static void parser_free_p(xmlParserCtxt **ctxt)
{
	if (*ctxt)
		xmlFreeParserCtxt(*ctxt);
}

#if LIBXML_VERSION >= 21200
static void on_error(void *data, const xmlError *e)
#else
static void on_error(void *data, xmlError *e)
#endif
{
	xmlParserCtxt *ctxt = data;
	_cleanup_free_ char *text = NULL;

	if (e->level < XML_ERR_ERROR)
		return;
	text = one_line(e->message);
	complain(ctxt->_private, e->line, text);
}

int xml_parse(const char *text, size_t len, const char *root, xmlDoc **ret, struct error *err)
{
	_cleanup_(parser_free_p) xmlParserCtxt *ctxt = NULL;
	_cleanup_xml_ xmlDoc *doc = NULL;
	const xmlNode *top;
	struct guard guard = {.err = err};

	if (len > XML_TEXT_MAX)
		return error_set(err, ERROR_XML, "XML of %zu bytes is larger than %u", len, XML_TEXT_MAX);
	if (memchr(text, '\0', len))
		return error_set(err, ERROR_XML, "XML holds a zero byte");
	ctxt = xmlNewParserCtxt();
	if (!ctxt)
		return error_set(err, ERROR_NO_MEMORY, "parse XML: out of memory");
	ctxt->_private = &guard;
	guard.start = ctxt->sax->startElementNs;
	guard.end = ctxt->sax->endElementNs;
	ctxt->sax->internalSubset = on_doctype;
	ctxt->sax->startElementNs = on_start;
	ctxt->sax->endElementNs = on_end;
	ctxt->sax->serror = on_error;
	doc = xmlCtxtReadMemory(ctxt, text, (int)len, NULL, NULL, XML_PARSE_NONET);
	if (guard.refused)
		return -1;
	if (!doc)
		return error_set(err, ERROR_XML, "XML is not well-formed");
	top = xmlDocGetRootElement(doc);
	if (!top)
		return error_set(err, ERROR_XML, "XML holds no element");
	if (root && !xml_is(top, root)) {
		_cleanup_free_ char *name = xstrndup((const char *)top->name, 100);

		return error_set(err, ERROR_XML, "XML must hold <%s>, not <%s>", root, name);
	}
	*ret = TAKE_PTR(doc);
	return 0;
}

/* What libxml2 allocated is freed by its own function, which a program may have exchanged. */
static char *own(xmlChar *s)
{
	char *copy = xstrdup((const char *)s);

	if (s)
		xmlFree(s);
	return copy;
}

char *xml_attr(const xmlNode *node, const char *name)
{
	return own(xmlGetNoNsProp(node, BAD_CAST name));
}

char *xml_text(const xmlNode *node)
{
	_cleanup_free_ char *text = own(xmlNodeGetContent(node));
	static const char space[] = " \t\r\n";
	size_t start, len;

	if (!text)
		return NULL;
	start = strspn(text, space);
	len = strlen(text + start);
	while (len > 0 && strchr(space, text[start + len - 1]))
		len--;
	return len > 0 ? xstrndup(text + start, len) : NULL;
}

bool xml_is(const xmlNode *node, const char *name)
{
	return node && node->type == XML_ELEMENT_NODE && !node->ns && xmlStrEqual(node->name, BAD_CAST name);
}

const xmlNode *xml_first(const xmlNode *node)
{
	const xmlNode *child = node ? node->children : NULL;

	while (child && child->type != XML_ELEMENT_NODE)
		child = child->next;
	return child;
}

const xmlNode *xml_next(const xmlNode *node)
{
	do
		node = node->next;
	while (node && node->type != XML_ELEMENT_NODE);
	return node;
}

const xmlNode *xml_child(const xmlNode *node, const char *name)
{
	XML_FOREACH (child, node)
		if (xml_is(child, name))
			return child;
	return NULL;
}

char *xml_child_text(const xmlNode *node, const char *name)
{
	const xmlNode *child = xml_child(node, name);

	return child ? xml_text(child) : NULL;
}

char *xml_child_attr(const xmlNode *node, const char *child, const char *attr)
{
	const xmlNode *found = xml_child(node, child);

	return found ? xml_attr(found, attr) : NULL;
}

char *xml_serialise(const xmlNode *node)
{
	/* A copy brings the namespaces along that are declared further up. */
	xmlNode *copy = xmlDocCopyNode((xmlNode *)node, node->doc, 1);
	xmlBuffer *buffer = xmlBufferCreate();
	char *text = NULL;

	if (copy && buffer && xmlNodeDump(buffer, node->doc, copy, 0, 0) >= 0)
		text = xstrdup((const char *)xmlBufferContent(buffer));
	if (buffer)
		xmlBufferFree(buffer);
	if (copy)
		xmlFreeNode(copy);
	if (!text)
		abort(); /* it was parsed, so only memory can be missing */
	return text;
}

static void put_escaped(struct buf *out, const char *s, bool attribute)
{
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '&')
			buf_adds(out, "&amp;");
		else if (c == '<')
			buf_adds(out, "&lt;");
		else if (c == '>')
			buf_adds(out, "&gt;");
		else if (c == '"')
			buf_adds(out, "&quot;");
		else if (c == '\'')
			buf_adds(out, "&apos;");
		else if (c == '\r' || (attribute && (c == '\n' || c == '\t')))
			buf_addf(out, "&#%u;", c); /* a parser would turn it into a space */
		else if (c >= ' ' || c == '\n' || c == '\t')
			buf_add(out, s, 1);
		/* Other control characters cannot be written in XML 1.0 at all, and are left out. */
	}
}

static void close_start_tag(struct xml_writer *w, const char *end)
{
	if (w->open)
		buf_adds(w->out, end);
	w->open = false;
}

static void indent(struct xml_writer *w)
{
	for (unsigned i = 0; i < w->depth; i++)
		buf_adds(w->out, "  ");
}

void xml_begin(struct xml_writer *w, const char *name)
{
	close_start_tag(w, ">\n");
	indent(w);
	buf_addf(w->out, "<%s", name);
	w->depth++;
	w->open = true;
	w->text = false;
}

void xml_end(struct xml_writer *w, const char *name)
{
	w->depth--;
	if (w->open) {
		close_start_tag(w, "/>\n");
		return;
	}
	if (!w->text)
		indent(w);
	buf_addf(w->out, "</%s>\n", name);
	w->text = false;
}

void xml_put_attr(struct xml_writer *w, const char *name, const char *value)
{
	if (!value)
		return;
	buf_addf(w->out, " %s='", name);
	put_escaped(w->out, value, true);
	buf_adds(w->out, "'");
}

void xml_put_attrf(struct xml_writer *w, const char *name, const char *fmt, ...)
{
	_cleanup_(buf_fini) struct buf value = {0};
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&value, fmt, ap);
	va_end(ap);
	xml_put_attr(w, name, value.data);
}

void xml_put_text(struct xml_writer *w, const char *text)
{
	close_start_tag(w, ">");
	put_escaped(w->out, text, false);
	w->text = true;
}

void xml_element(struct xml_writer *w, const char *name, const char *text)
{
	if (!text)
		return;
	xml_begin(w, name);
	if (*text)
		xml_put_text(w, text);
	xml_end(w, name);
}

void xml_elementf(struct xml_writer *w, const char *name, const char *fmt, ...)
{
	_cleanup_(buf_fini) struct buf text = {0};
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&text, fmt, ap);
	va_end(ap);
	xml_element(w, name, text.data);
}

/* Only the first line is indented: the others are as they were given, so a document read again is the same. */
void xml_raw(struct xml_writer *w, const char *xml)
{
	close_start_tag(w, ">\n");
	indent(w);
	buf_adds(w->out, xml);
	if (!*xml || xml[strlen(xml) - 1] != '\n')
		buf_adds(w->out, "\n");
	w->text = false;
}
