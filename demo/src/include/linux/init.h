// SPDX-License-Identifier: Apache-2.0
#ifndef _LINUX_INIT_H
#define _LINUX_INIT_H

#include "linux/types.h"

#define initcall(fn) \
	static int (*const __initcall_##fn)(void) __used __section(".initcall") = fn

#endif
