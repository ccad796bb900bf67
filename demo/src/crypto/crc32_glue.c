// SPDX-License-Identifier: Apache-2.0
#include "linux/module.h"

unsigned long crc32_update(const void *p);

static int debug;

static int __init driver_init(void)
{
	debug = crc32_update(&debug);
	return debug;
}
module_init(driver_init);

static void __exit driver_exit(void)
{
	debug = 0;
}
module_exit(driver_exit);

MODULE_INFO(license, "Apache-2.0");
