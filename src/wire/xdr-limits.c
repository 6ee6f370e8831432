/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lengths are checked against what is left of the frame before anything is allocated for them. */
#define XDR_LIMITS_IMPLEMENTATION
#include "xdr-limits.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Can `unit` bytes for each of the items promised by the next length word still be there? */
static bool length_fits(XDR *xdrs, u_int unit, u_int *ret_length)
{
	u_int position;

	if (xdrs->x_op != XDR_DECODE) /* when freeing, the stream has no position */
		return true;
	position = xdr_getpos(xdrs);
	if (!xdr_u_int(xdrs, ret_length))
		return false;
	/* x_handy of a memory stream is the number of bytes behind the position */
	if ((uint64_t)*ret_length * unit > xdrs->x_handy)
		return false;
	return xdr_setpos(xdrs, position);
}

bool_t bounded_xdr_string(XDR *xdrs, char **p, u_int max)
{
	u_int length;

	if (xdrs->x_op == XDR_ENCODE &&
		!*p) /* libtirpc refuses it, the address sanitizer's wrapper does not */
		return FALSE;
	if (!length_fits(xdrs, 1, &length) || !xdr_string(xdrs, p, max))
		return FALSE;
	/* what was sent must be what is looked at: no NUL inside */
	return xdrs->x_op != XDR_DECODE || strlen(*p) == length;
}

bool_t bounded_xdr_bytes(XDR *xdrs, char **p, u_int *len, u_int max)
{
	u_int promised;

	return length_fits(xdrs, 1, &promised) && xdr_bytes(xdrs, p, len, max);
}

bool_t bounded_xdr_array(XDR *xdrs, char **p, u_int *len, u_int max, u_int size, xdrproc_t element)
{
	u_int promised;

	/* nothing takes less than four bytes in XDR */
	return length_fits(xdrs, 4, &promised) && xdr_array(xdrs, p, len, max, size, element);
}
