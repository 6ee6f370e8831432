/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* XML from a client: what is accepted must be whole when it is looked at and written again. */
#include <assert.h>

#include "xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void visit(const xmlNode *node, unsigned depth)
{
	assert(depth <= XML_DEPTH_MAX);
	free(xml_attr(node, "type"));
	free(xml_text(node));
	XML_FOREACH (child, node)
		visit(child, depth + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_xml_ xmlDoc *doc = NULL, *again = NULL;
	_cleanup_free_ char *text = NULL;
	struct error err = ERROR_INIT;

	if (xml_parse((const char *)data, size, NULL, &doc, &err) < 0) {
		assert(err.code != ERROR_NONE && !doc && !strchr(err.message, '\n'));
		return 0;
	}
	visit(xmlDocGetRootElement(doc), 1);
	text = xml_serialise(xmlDocGetRootElement(doc));
	/* Escaping can make a document grow past the limit. */
	assert(xml_parse(text, strlen(text), NULL, &again, &err) == 0 || strlen(text) > XML_TEXT_MAX);
	return 0;
}
