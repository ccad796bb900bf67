// SPDX-License-Identifier: Apache-2.0
#include "linux/device.h"
#include "linux/module.h"

/* Global, where the other drivers have a static one. */
int probe(struct device *dev);

int probe(struct device *dev)
{
	dev->state = 1;
	return 0;
}

static int __init driver_init(void)
{
	return register_driver("dummy", probe);
}
module_init(driver_init);

static void __exit driver_exit(void)
{
	warn("dummy gone", 0);
}
module_exit(driver_exit);

MODULE_INFO(license, "Apache-2.0");
