// SPDX-License-Identifier: Apache-2.0
#include "include/copy.h"

int (*const compare_b)(const void *, const void *) = compare;

int use_b(char *to, const char *from)
{
	return copy_from_header(to, from + 2);
}
