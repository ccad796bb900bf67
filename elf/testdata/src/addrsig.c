// SPDX-License-Identifier: Apache-2.0
/* .llvm_addrsig lists symbol indices; so does the call graph profile. */
int printk(const char *text, int value);

static __attribute__((__noinline__)) int callee(int value)
{
	return printk("callee", value);
}

int caller(int value)
{
	return callee(value) + 1;
}

int (*const taken)(int) = callee;

__asm__(".cg_profile caller, callee, 32");
