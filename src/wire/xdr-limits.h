/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Decoders that look at how many bytes are left before they allocate.
 *
 * libtirpc allocates what a length word promises (up to the type's maximum) and only then finds that the bytes are not
 * there. The generated coders are compiled against these instead: a length that the rest of the frame cannot hold fails
 * first. A string with a NUL inside is refused, too. Encoding and freeing are passed through.
 */
#pragma once

#include <rpc/rpc.h>

bool_t bounded_xdr_string(XDR *xdrs, char **p, u_int max);
bool_t bounded_xdr_bytes(XDR *xdrs, char **p, u_int *len, u_int max);
bool_t bounded_xdr_array(XDR *xdrs, char **p, u_int *len, u_int max, u_int size, xdrproc_t element);

#ifndef XDR_LIMITS_IMPLEMENTATION
#define xdr_string bounded_xdr_string
#define xdr_bytes  bounded_xdr_bytes
#define xdr_array  bounded_xdr_array
#endif
