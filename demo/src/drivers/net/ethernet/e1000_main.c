// SPDX-License-Identifier: Apache-2.0
#include "linux/module.h"
#include "shared_core.h"

static int probe(struct device *dev)
{
	return e1000_reset(dev);
}

static int __init driver_init(void)
{
	return register_driver("e1000", probe);
}
module_init(driver_init);

static void __exit driver_exit(void)
{
	warn("e1000 gone", 0);
}
module_exit(driver_exit);

MODULE_INFO(license, "Apache-2.0");
