// SPDX-License-Identifier: Apache-2.0
#include "linux/types.h"

struct inode {
	int count, hash;
};

static void init_once(void *p)
{
	struct inode *inode = p;

	inode->count = 1;
	inode->hash = 0;
}

void (*const inode_ctor)(void *) = init_once;
