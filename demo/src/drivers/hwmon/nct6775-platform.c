// SPDX-License-Identifier: Apache-2.0
#include "linux/module.h"
#include "nct6775.h"

static int debug;

static noinline int update(struct device *dev, int reg)
{
	return dev->state ^ reg ^ debug;
}

static int probe(struct device *dev)
{
	debug = nct6775_register(dev);
	return update(dev, dev->id) + update(dev, debug);
}

static int __init driver_init(void)
{
	return register_driver(nct6775_attrs[0].name, probe);
}
module_init(driver_init);

static void __exit driver_exit(void)
{
	debug = 0;
}
module_exit(driver_exit);

MODULE_INFO(license, "Apache-2.0");
