/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lengths are checked against what is left of the frame before anything is allocated for them. */
#define XDR_LIMITS_IMPLEMENTATION
#include "xdr-limits.h"

#include <stdbool.h>
#include <stdint.h>

/* Can `unit` bytes for each of the items promised by the next length word still be there? */
static bool length_fits(XDR *xdrs, u_int unit)
{
	u_int position, n;

	if (xdrs->x_op != XDR_DECODE) /* when freeing, the stream has no position */
		return true;
	position = xdr_getpos(xdrs);
	if (!xdr_u_int(xdrs, &n))
		return false;
	/* x_handy of a memory stream is the number of bytes behind the position */
	if ((uint64_t)n * unit > xdrs->x_handy)
		return false;
	return xdr_setpos(xdrs, position);
}

bool_t bounded_xdr_string(XDR *xdrs, char **p, u_int max)
{
	/* A missing one cannot be sent; libtirpc would say so too, but a sanitizer looks at it before. */
	return length_fits(xdrs, 1) && (xdrs->x_op != XDR_ENCODE || *p) && xdr_string(xdrs, p, max);
}

bool_t bounded_xdr_bytes(XDR *xdrs, char **p, u_int *len, u_int max)
{
	return length_fits(xdrs, 1) && xdr_bytes(xdrs, p, len, max);
}

bool_t bounded_xdr_array(XDR *xdrs, char **p, u_int *len, u_int max, u_int size, xdrproc_t element)
{
	/* nothing takes less than four bytes in XDR */
	return length_fits(xdrs, 4) && xdr_array(xdrs, p, len, max, size, element);
}
