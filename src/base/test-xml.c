/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tests of XML: what is refused and how it is said, looking things up, writing. */
#include "alloc.h"
#include "clock.h"
#include "tap.h"
#include "xml.h"

static void refused(const char *text, size_t len, const char *message)
{
	struct error err = ERROR_INIT;
	xmlDoc *doc = NULL;

	if (xml_parse(text, len, "a", &doc, &err) == 0)
		xmlFreeDoc(doc);
	is_int(err.code, ERROR_XML, "xml: refused");
	is_str(err.message, message, "xml: and says why");
	ok(!doc, "xml: nothing is returned");
}

static void test_refusals(void)
{
	static const char laughs[] =
		"<!DOCTYPE a [\n<!ENTITY l 'lol'>\n<!ENTITY m '&l;&l;&l;&l;'>\n]><a>&m;</a>";
	static const char external[] =
		"<?xml version='1.0'?>\n<!DOCTYPE a SYSTEM 'http://example.org/a.dtd'>\n<a/>";
	static const char undefined[] = "<a>\n&nobody;</a>";
	static const char mismatch[] = "<a>\n<b>\n</a>";
	struct error err = ERROR_INIT;
	xmlDoc *doc = NULL;

	refused(laughs, strlen(laughs), "XML line 1: a document type declaration is not allowed");
	refused(external, strlen(external), "XML line 2: a document type declaration is not allowed");
	refused(undefined, strlen(undefined), "XML line 2: Entity 'nobody' not defined");
	refused(mismatch, strlen(mismatch), "XML line 3: Opening and ending tag mismatch: b line 2 and a");
	refused("<b/>", 4, "XML must hold <a>, not <b>");
	refused("<a>\0</a>", 8, "XML holds a zero byte");
	ok(xml_parse("", 0, "a", &doc, &err) < 0 && err.code == ERROR_XML, "xml: nothing at all");
	ok(xml_parse("hello", 5, "a", &doc, &err) < 0 && err.code == ERROR_XML, "xml: no markup");
	ok(xml_parse("<a/><a/>", 8, "a", &doc, &err) < 0 && err.code == ERROR_XML, "xml: two roots");
	ok(xml_parse("<a>\xff</a>", 8, "a", &doc, &err) < 0 && err.code == ERROR_XML, "xml: not UTF-8");
}

static void nest(struct buf *b, unsigned depth)
{
	buf_clear(b);
	for (unsigned i = 0; i < depth; i++)
		buf_adds(b, "<a>");
	for (unsigned i = 0; i < depth; i++)
		buf_adds(b, "</a>");
}

static void test_limits(void)
{
	_cleanup_(buf_fini) struct buf b = {0};
	struct error err = ERROR_INIT;
	xmlDoc *doc = NULL;
	uint64_t before;

	nest(&b, XML_DEPTH_MAX);
	ok(xml_parse(b.data, b.len, "a", &doc, &err) == 0, "xml: 64 levels are allowed");
	xmlFreeDoc(doc);
	doc = NULL;
	nest(&b, XML_DEPTH_MAX + 1);
	refused(b.data, b.len, "XML line 1: elements are nested too deeply");
	nest(&b, 700000);
	b.len = XML_TEXT_MAX;
	before = clock_now();
	refused(b.data, b.len, "XML line 1: elements are nested too deeply");
	ok(clock_now() - before < USEC_PER_SEC / 2, "xml: and soon");
	refused(b.data, XML_TEXT_MAX + 1, "XML of 4194305 bytes is larger than 4194304");
}

static const char sample[] = "<?xml version='1.0'?>\n"
			     "<a x='1' e='' xmlns:q='urn:q'>\n"
			     "  <!-- a remark -->\n"
			     "  <b>  text &lt;\n </b><q:b>foreign</q:b><c y='2'>z</c><d>  </d>\n"
			     "  <m><q:n q:k='v'> k\xc3\xa4se <![CDATA[<raw>]]></q:n></m>\n"
			     "</a>";

static void test_lookup(void)
{
	_cleanup_xml_ xmlDoc *doc = NULL;
	struct error err = ERROR_INIT;
	const xmlNode *a;
	char *s;
	int count = 0;

	ok(xml_parse(sample, strlen(sample), NULL, &doc, &err) == 0, "xml: parse");
	a = xmlDocGetRootElement(doc);
	ok(xml_is(a, "a") && !xml_is(a, "b") && !xml_is(NULL, "a"), "xml: is");
	is_str(s = xml_attr(a, "x"), "1", "xml: attribute");
	free(s);
	is_str(s = xml_attr(a, "e"), "", "xml: empty attribute");
	free(s);
	ok(!xml_attr(a, "none"), "xml: no attribute");
	is_str(s = xml_child_text(a, "b"), "text <", "xml: text without its margins");
	free(s);
	is_str(s = xml_child_attr(a, "c", "y"), "2", "xml: attribute of a child");
	free(s);
	ok(!xml_child_text(a, "d") && !xml_child_text(a, "none") && !xml_child_attr(a, "none", "y"),
		"xml: nothing");
	ok(!xml_child(a, "q:b") && !xml_is(xml_next(xml_child(a, "b")), "b"),
		"xml: another namespace is another name");
	XML_FOREACH (child, a)
		count++;
	is_int(count, 5, "xml: only elements are visited");
	is_str(s = xml_serialise(xml_first(xml_child(a, "m"))),
		"<q:n xmlns:q=\"urn:q\" q:k=\"v\"> k\xc3\xa4se <![CDATA[<raw>]]></q:n>",
		"xml: subtree with its namespace");
	free(s);
}

static void test_writer(void)
{
	_cleanup_(buf_fini) struct buf b = {0};
	struct xml_writer w = {.out = &b};
	_cleanup_xml_ xmlDoc *doc = NULL;
	struct error err = ERROR_INIT;
	char *s;

	xml_begin(&w, "a");
	xml_put_attr(&w, "v", "<'&\">\n\r\t");
	xml_put_attr(&w, "none", NULL);
	xml_put_attrf(&w, "n", "%d", 5);
	xml_begin(&w, "b");
	xml_end(&w, "b");
	xml_element(&w, "t", "x\ny & z\x01");
	xml_element(&w, "none", NULL);
	xml_elementf(&w, "f", "%s", "");
	xml_begin(&w, "c");
	xml_raw(&w, "<m>\n    kept</m>");
	xml_elementf(&w, "d", "%d", 1);
	xml_end(&w, "c");
	xml_end(&w, "a");
	is_str(b.data,
		"<a v='&lt;&apos;&amp;&quot;&gt;&#10;&#13;&#9;' n='5'>\n"
		"  <b/>\n"
		"  <t>x\ny &amp; z</t>\n"
		"  <f/>\n"
		"  <c>\n"
		"    <m>\n    kept</m>\n"
		"    <d>1</d>\n"
		"  </c>\n"
		"</a>\n",
		"xml: written");
	is_int(w.depth, 0, "xml: all ended");
	ok(xml_parse(b.data, b.len, "a", &doc, &err) == 0, "xml: what was written is well-formed");
	is_str(s = xml_attr(xmlDocGetRootElement(doc), "v"), "<'&\">\n\r\t", "xml: and says the same");
	free(s);
}

int main(void)
{
	test_refusals();
	test_limits();
	test_lookup();
	test_writer();
	return done_testing();
}
