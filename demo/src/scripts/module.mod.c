// SPDX-License-Identifier: Apache-2.0
#include "linux/module.h"

struct module {
	char name[56];
	int (*init)(void);
	void (*exit)(void);
};

#define STRING(x)	#x
#define NAME(x)		STRING(x)

MODULE_INFO(vermagic, "6.12.0 SMP mod_unload ");
MODULE_INFO(name, NAME(KBUILD_MODNAME));
MODULE_INFO(depends, "");

int init_module(void);
void cleanup_module(void);

struct module __this_module __section(".gnu.linkonce.this_module") = {
	.name = NAME(KBUILD_MODNAME),
	.init = init_module,
	.exit = cleanup_module,
};
