// SPDX-License-Identifier: Apache-2.0
#ifndef _LINUX_MODULE_H
#define _LINUX_MODULE_H

#include "linux/types.h"

#define module_init(fn) \
	int init_module(void) __attribute__((__alias__(#fn), __used__, __cold__))
#define module_exit(fn) \
	void cleanup_module(void) __attribute__((__alias__(#fn), __used__, __cold__))
#define MODULE_INFO(tag, text) \
	static const char __UNIQUE_ID_##tag[] __used __section(".modinfo") = #tag "=" text

#endif
