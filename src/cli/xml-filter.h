/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The options --xpath and --wrap, which every command that prints XML has. */
#pragma once

#include "cli.h"

/* Prints `xml`, or what --xpath selects of it: one node after the other, with --wrap inside one <nodes> element. */
int xml_filter_print(struct cli *cli, const struct arguments *args, const char *xml, struct error *err);

/* The text of the first node that `xpath` selects (an attribute's value, an element's text); owned; NULL: none. */
char *xml_select(const char *xml, const char *xpath);
