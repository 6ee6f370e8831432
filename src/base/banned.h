/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Functions that invite overflows or hide errors; the build includes this everywhere, so using one fails. */
#pragma once

#ifndef __ASSEMBLER__
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef alloca
#pragma GCC poison strcpy strcat sprintf vsprintf strtok strncpy strncat atoi atol atoll gets alloca
#endif
