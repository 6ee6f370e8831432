/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Giving memory back that only starting up needed. */
#pragma once

/*
 * Free heap goes back to the kernel, and so do the pages of programs and libraries that were touched: what runs again is
 * mapped in again from the page cache, what was for starting up only (relocation, parsing definitions) stays away.
 */
void trim_memory(void);
