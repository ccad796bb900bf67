// SPDX-License-Identifier: Apache-2.0
#include "linux/types.h"
#include "linux/sort.h"

void sort(int *base, int n, cmp_t cmp)
{
	int i, j, t;

	if (!cmp)
		cmp = cmp_int;
	for (i = 0; i < n; i++)
		for (j = i + 1; j < n; j++)
			if (cmp(base + i, base + j) > 0) {
				t = base[i];
				base[i] = base[j];
				base[j] = t;
			}
}
