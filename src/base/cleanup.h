/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Scope-bound release of resources, and transfer of ownership out of a scope. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* `_cleanup_(f)` runs f(&variable) when the variable leaves its scope. */
#define _cleanup_(f)	    __attribute__((cleanup(f)))
#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))

/* Defines func##_p for _cleanup_, for release functions that take a pointer and accept NULL. */
#define DEFINE_CLEANUP(type, func)                                                                           \
	static inline void func##_p(type *p)                                                                 \
	{                                                                                                    \
		if (*p)                                                                                      \
			func(*p);                                                                            \
	}                                                                                                    \
	struct cleanup_needs_semicolon

static inline void free_p(void *p)
{
	free(*(void **)p);
}

static inline void close_p(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void fclose_p(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define _cleanup_free_	 _cleanup_(free_p)
#define _cleanup_close_	 _cleanup_(close_p)
#define _cleanup_fclose_ _cleanup_(fclose_p)

/* Evaluate to the value and leave the variable empty: ownership moves to the reader. */
#define TAKE_PTR(p)                                                                                          \
	({                                                                                                   \
		__typeof__(p) taken_ = (p);                                                                  \
		(p) = NULL;                                                                                  \
		taken_;                                                                                      \
	})

static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
