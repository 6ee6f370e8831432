/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finding GnuTLS's functions. Only the ABI of the headers that this was compiled with will do, which its name has. */
#include "gnutls-library.h"

#include <dlfcn.h>

#include "cleanup.h"

#define LIBRARY "libgnutls.so.30"

/* Written once, by the load. */
struct gnutls_library gnutls_library;

int gnutls_library_load(struct error *err)
{
#define SYMBOL(name) {"gnutls_" #name, (void **)&gnutls_library.name},
	static const struct {
		const char *name;
		void **slot;
	} symbols[] = {GNUTLS_FUNCTIONS(SYMBOL) SYMBOL(free)};
#undef SYMBOL
	static void *handle;

	if (handle)
		return 0;
	handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG, "TLS: load GnuTLS: %s", dlerror());
	for (size_t i = 0; i < ARRAY_SIZE(symbols); i++) {
		*symbols[i].slot = dlsym(handle, symbols[i].name);
		if (*symbols[i].slot)
			continue;
		error_set(err, ERROR_UNSUPPORTED_CONFIG, "TLS: %s has no %s", LIBRARY, symbols[i].name);
		dlclose(TAKE_PTR(handle));
		return -1;
	}
	return 0;
}
