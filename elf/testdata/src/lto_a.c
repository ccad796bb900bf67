// SPDX-License-Identifier: Apache-2.0
static int state;

static __attribute__((__noinline__)) int helper(int value)
{
	state += value;
	return state * 3;
}

int from_a(int value)
{
	return helper(value) + 1;
}

int (*const table_a)(int) = helper;
