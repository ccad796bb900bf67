// SPDX-License-Identifier: Apache-2.0
#ifndef _LINUX_SORT_H
#define _LINUX_SORT_H

typedef int (*cmp_t)(const void *a, const void *b);

/* Inline, but its address is taken: an out-of-line copy per unit. */
static inline int cmp_int(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

void sort(int *base, int n, cmp_t cmp);

#endif
