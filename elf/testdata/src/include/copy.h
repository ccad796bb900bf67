// SPDX-License-Identifier: Apache-2.0
static __attribute__((__noinline__)) int copy_from_header(char *to, const char *from)
{
	int i;

	for (i = 0; from[i]; i++)
		to[i] = from[i];
	return i;
}

static inline int compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}
