// SPDX-License-Identifier: Apache-2.0
#ifndef _LINUX_HDR_COPY_H
#define _LINUX_HDR_COPY_H

#include "linux/types.h"

/* Not inlined: every unit that calls it owns a copy. */
static noinline __noclone int copy_from_header(char *to, const char *from, int n)
{
	int i;

	for (i = 0; i < n && from[i]; i++)
		to[i] = from[i];
	return i;
}

#endif
