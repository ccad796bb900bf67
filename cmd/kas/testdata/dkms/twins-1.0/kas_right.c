// SPDX-License-Identifier: Apache-2.0
// One of two modules of a DKMS package. The kernel has functions named name_show, and both modules
// have twin_reset. kas_right_only is unique.
#include <linux/kernel.h>
#include <linux/module.h>

#define DISTINCT static __attribute__((noipa))

DISTINCT int name_show(char *buf)
{
	return sprintf(buf, "right\n");
}

DISTINCT int twin_reset(int x)
{
	return x + 1;
}

DISTINCT int kas_right_only(int x)
{
	return x + 2;
}

static int __init kas_right_init(void)
{
	static char buf[16];

	return name_show(buf) + twin_reset(1) + kas_right_only(2) > 1000;
}

static void __exit kas_right_exit(void)
{
}

module_init(kas_right_init);
module_exit(kas_right_exit);
MODULE_LICENSE("Dual BSD/GPL");
