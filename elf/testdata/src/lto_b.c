// SPDX-License-Identifier: Apache-2.0
int from_a(int value);

static int state;

static __attribute__((__noinline__)) int helper(int value)
{
	state -= value;
	return state / 3;
}

int from_b(int value)
{
	return helper(value) + from_a(value);
}

int (*const table_b)(int) = helper;
