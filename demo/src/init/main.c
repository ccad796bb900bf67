// SPDX-License-Identifier: Apache-2.0
#include "linux/device.h"

const char linux_banner[] =
	"Linux version 6.12.0 (kas demo) (" TOOLCHAIN ") #1 SMP\n";

static int debug;

extern int (*const __initcall_start[])(void);
extern int (*const __initcall_end[])(void);

static noinline int __init do_one_initcall(int (*const *fn)(void))
{
	int ret = (*fn)();

	if (unlikely(ret))
		warn("initcall", ret + debug);
	return ret;
}

void __init start_kernel(void)
{
	int (*const *fn)(void);

	debug = linux_banner[0] == 'L';
	for (fn = __initcall_start; fn < __initcall_end; fn++)
		do_one_initcall(fn);
}
