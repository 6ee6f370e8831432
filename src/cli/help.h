/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `godwit help` prints. */
#pragma once

#include <stdio.h>

#include "table.h"

void help_print_overview(FILE *out); /* the program's options and all commands, by group */
void help_print_command(FILE *out, const struct command *c);
