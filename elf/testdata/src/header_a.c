// SPDX-License-Identifier: Apache-2.0
#include "include/copy.h"

int (*const compare_a)(const void *, const void *) = compare;

int use_a(char *to, const char *from)
{
	return copy_from_header(to, from + 1);
}
