/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The options --xpath and --wrap. */
#include "xml-filter.h"

#include <libxml/xpath.h>
#include <string.h>

#include "alloc.h"
#include "strv.h"
#include "xml.h"

struct selection {
	xmlDoc *doc;
	xmlXPathContext *context;
	xmlXPathObject *result;
};

/* The root element's name is not known here, so the checks of xml_parse do not fit; the text is the daemon's. */
static int select_nodes(const char *xml, const char *xpath, struct selection *ret, struct error *err)
{
	ret->doc = xmlReadMemory(xml, (int)strlen(xml), "xml", NULL,
		XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
	if (!ret->doc)
		return error_set(err, ERROR_XML, "the XML is not well-formed");
	ret->context = xmlXPathNewContext(ret->doc);
	ret->result = ret->context ? xmlXPathEvalExpression((const xmlChar *)xpath, ret->context) : NULL;
	if (!ret->result)
		return error_set(err, ERROR_INVALID_ARGUMENT, "'%s' is no XPath expression", xpath);
	return 0;
}

static void selection_fini(struct selection *s)
{
	if (s->result)
		xmlXPathFreeObject(s->result);
	if (s->context)
		xmlXPathFreeContext(s->context);
	if (s->doc)
		xmlFreeDoc(s->doc);
}

char *xml_select(const char *xml, const char *xpath)
{
	_cleanup_(selection_fini) struct selection s = {0};
	xmlChar *text;
	char *copy;

	if (select_nodes(xml, xpath, &s, NULL) < 0)
		return NULL;
	if (s.result->type == XPATH_NODESET && (!s.result->nodesetval || s.result->nodesetval->nodeNr == 0))
		return NULL;
	text = xmlXPathCastToString(s.result);
	copy = xstrdup((char *)text);
	xmlFree(text);
	return copy;
}

static void print_nodes(struct cli *cli, const struct selection *s, int level)
{
	const xmlNodeSet *nodes = s->result->nodesetval;

	for (int i = 0; nodes && i < nodes->nodeNr; i++) {
		xmlBuffer *out = xmlBufferCreate();

		xmlNodeDump(out, s->doc, nodes->nodeTab[i], level, 1);
		cli_print(cli, "%*s%s\n", level * 2, "", (const char *)xmlBufferContent(out));
		xmlBufferFree(out);
	}
}

int xml_filter_print(struct cli *cli, const struct arguments *args, const char *xml, struct error *err)
{
	const char *xpath = arguments_string(args, "xpath");
	_cleanup_(selection_fini) struct selection s = {0};
	bool wrap = arguments_has(args, "wrap");

	if (!xpath) {
		cli_print(cli, "%s", xml);
		if (!endswith(xml, "\n"))
			cli_print(cli, "\n");
		return 0;
	}
	if (select_nodes(xml, xpath, &s, err) < 0)
		return -1;
	if (s.result->type != XPATH_NODESET) {
		xmlChar *text = xmlXPathCastToString(s.result);

		cli_print(cli, "%s\n", (const char *)text);
		xmlFree(text);
		return 0;
	}
	if (wrap)
		cli_print(cli, "<nodes>\n");
	print_nodes(cli, &s, wrap ? 1 : 0);
	if (wrap)
		cli_print(cli, "</nodes>\n");
	return 0;
}
