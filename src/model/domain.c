/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A domain's life, and its way from and to XML by the tables of schema.h. */
#include "domain.h"

#include "schema.h"
#include "strv.h"

struct domain *domain_new(void)
{
	struct domain *d = NEW(struct domain);

	table_init(&domain_table, d);
	d->vcpus = d->vcpus_current = 1;
	return d;
}

void domain_free(struct domain *d)
{
	if (!d)
		return;
	table_fini(&domain_table, d);
	free(d);
}

/*
 * What is written must be readable again, after a restart too: escaping makes a text up to six times as long, and
 * defaults and addresses are still to come. Documents much shorter than the limit cannot reach it.
 */
static int check_size(const struct domain *d, size_t len, struct error *err)
{
	_cleanup_free_ char *xml = NULL;

	if (len < XML_TEXT_MAX / 8)
		return 0;
	xml = domain_format(d, DOMAIN_FORMAT_SECURE);
	if (strlen(xml) > XML_TEXT_MAX - XML_TEXT_MAX / 8)
		return error_set(err, ERROR_XML, "the description of domain '%s' is too long", d->name);
	return 0;
}

int domain_parse_element(struct parse_context *c, const xmlNode *node, struct domain **ret)
{
	_cleanup_domain_ struct domain *d = domain_new();

	d->vcpus_current = 0; /* "not said": as many as there are */
	if (table_parse(c, &domain_table, node, d) < 0)
		return -1;
	*ret = TAKE_PTR(d);
	return 0;
}

int domain_parse(const char *xml, size_t len, unsigned flags, struct domain **ret, struct error *err)
{
	_cleanup_xml_ xmlDoc *doc = NULL;
	_cleanup_domain_ struct domain *d = NULL;
	struct parse_context c = {.flags = flags, .err = err};

	if (xml_parse(xml, len, "domain", &doc, err) < 0)
		return -1;
	if (domain_parse_element(&c, xmlDocGetRootElement(doc), &d) < 0)
		return -1;
	if (check_size(d, len, err) < 0)
		return -1;
	*ret = TAKE_PTR(d);
	return 0;
}

void domain_format_element(struct xml_writer *w, const char *name, const struct domain *d, unsigned flags)
{
	struct format_context c = {.w = w, .flags = flags, .domain = d};

	/* Another host starts from the definition: what was chosen for this run is chosen anew there. */
	if (flags & DOMAIN_FORMAT_MIGRATABLE)
		c.flags |= DOMAIN_FORMAT_INACTIVE;
	xml_begin(w, name);
	table_format(&c, &domain_table, d);
	xml_end(w, name);
}

char *domain_format(const struct domain *d, unsigned flags)
{
	struct buf out = {0};
	struct xml_writer w = {.out = &out};

	domain_format_element(&w, "domain", d, flags);
	return buf_take(&out);
}

struct domain *domain_copy(const struct domain *d)
{
	struct domain *copy = NEW(struct domain);

	table_copy(&domain_table, copy, d);
	return copy;
}

int domain_check_abi_stable(const struct domain *src, const struct domain *dst, struct error *err)
{
	return table_compare(&domain_table, "domain", src, dst, err);
}
