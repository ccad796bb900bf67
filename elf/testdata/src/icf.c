// SPDX-License-Identifier: Apache-2.0
/* Two functions of the same code: --icf=all folds them to one address. */
static __attribute__((__noinline__)) int first_show(int value)
{
	return value * 7 + 1;
}

static __attribute__((__noinline__)) int second_show(int value)
{
	return value * 7 + 1;
}

int _start(int value)
{
	return first_show(value) + second_show(value + 1);
}
