// SPDX-License-Identifier: Apache-2.0
#include "linux/hdr_copy.h"
#include "linux/module.h"

struct fat_inode {
	char name[12];
	int start;
};

static void init_once(void *p)
{
	struct fat_inode *inode = p;

	inode->start = copy_from_header(inode->name, "FAT", 12);
}

void (*const fat_ctor)(void *) = init_once;

static int __init init_fat_fs(void)
{
	return !fat_ctor;
}
module_init(init_fat_fs);

static void __exit exit_fat_fs(void)
{
	warn("fat gone", 0);
}
module_exit(exit_fat_fs);

MODULE_INFO(license, "Apache-2.0");
