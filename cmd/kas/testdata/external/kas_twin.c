// SPDX-License-Identifier: Apache-2.0
// An out-of-tree module. Many functions are named name_show. vfs_fallocate was unique in vmlinux, and
// xfs_inode_alloc in a module. kas_twin_only stays unique.
#include <linux/kernel.h>
#include <linux/module.h>

#define DISTINCT static __attribute__((noipa))

DISTINCT int name_show(char *buf)
{
	return sprintf(buf, "twin\n");
}

DISTINCT int vfs_fallocate(int x)
{
	pr_info("kas_twin: vfs_fallocate %d\n", x);
	return x + 1;
}

DISTINCT int xfs_inode_alloc(int x)
{
	pr_info("kas_twin: xfs_inode_alloc %d\n", x);
	return x + 2;
}

DISTINCT int kas_twin_only(int x)
{
	pr_info("kas_twin: kas_twin_only %d\n", x);
	return x + 3;
}

static int __init kas_twin_init(void)
{
	static char buf[16];

	return name_show(buf) + vfs_fallocate(1) + xfs_inode_alloc(2) + kas_twin_only(3) > 1000;
}

static void __exit kas_twin_exit(void)
{
}

module_init(kas_twin_init);
module_exit(kas_twin_exit);
MODULE_LICENSE("Dual BSD/GPL");
