// SPDX-License-Identifier: Apache-2.0
// One of two modules of a DKMS package. The kernel has functions named name_show, and both modules
// have twin_reset. vfs_fallocate was unique in vmlinux. kas_left_only is unique.
#include <linux/kernel.h>
#include <linux/module.h>

#define DISTINCT static __attribute__((noipa))

DISTINCT int name_show(char *buf)
{
	return sprintf(buf, "left\n");
}

DISTINCT int twin_reset(int x)
{
	return x + 1;
}

DISTINCT int vfs_fallocate(int x)
{
	return x + 3;
}

DISTINCT int kas_left_only(int x)
{
	return x + 2;
}

static int __init kas_left_init(void)
{
	static char buf[16];

	return name_show(buf) + twin_reset(1) + vfs_fallocate(3) + kas_left_only(2) > 1000;
}

static void __exit kas_left_exit(void)
{
}

module_init(kas_left_init);
module_exit(kas_left_exit);
MODULE_LICENSE("Dual BSD/GPL");
