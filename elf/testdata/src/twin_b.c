// SPDX-License-Identifier: Apache-2.0
/* The linker folds twin_show and its table with those of the other file. */


static const int table[4] = { 1, 2, 3, 4 };

static __attribute__((__noinline__)) int twin_show(int x)
{
	return x * 3 + 1;
}

int show_b(int x)
{
	return twin_show(x) - twin_show(table[x & 3]);
}
