// SPDX-License-Identifier: Apache-2.0
/* Unlikely code goes to .text.unlikely: a function in two ranges. */
__attribute__((__cold__)) void warn(const char *text, int value);

static __attribute__((__noinline__)) int update(int *load, int unused)
{
	if (__builtin_expect(*load < 0, 0)) {
		warn("below zero", *load);
		*load = 0;
		warn("reset", unused);
	}
	return *load * 2;
}

int tick(int *load)
{
	return update(load, load[1]) + update(load + 1, load[2]);
}
