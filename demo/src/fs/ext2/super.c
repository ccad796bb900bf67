// SPDX-License-Identifier: Apache-2.0
#include "linux/module.h"

struct ext2_inode {
	int flags, dir_start;
};

static void init_once(void *p)
{
	struct ext2_inode *inode = p;

	inode->flags = inode->dir_start = 0;
}

void (*const ext2_ctor)(void *) = init_once;

static int __init init_ext2_fs(void)
{
	return !ext2_ctor;
}
module_init(init_ext2_fs);

static void __exit exit_ext2_fs(void)
{
	warn("ext2 gone", 0);
}
module_exit(exit_ext2_fs);

MODULE_INFO(license, "Apache-2.0");
