// SPDX-License-Identifier: Apache-2.0
#include "linux/device.h"
#include "linux/module.h"

static int debug;

static ssize_t name_show(struct device *dev,
			 const struct attr *attr, char *buf)
{
	return emit(buf, debug ? "debug\n" : "coretemp\n");
}

static ssize_t crit_show(struct device *dev,
			 const struct attr *attr, char *buf)
{
	return emit(buf, dev->state & 1 ? "1\n" : "0\n");
}

const struct attr coretemp_attrs[] = { ATTR(name), ATTR(crit) };

static int probe(struct device *dev)
{
	debug = dev->id;
	return 0;
}

static int __init driver_init(void)
{
	return register_driver("coretemp", probe);
}
module_init(driver_init);

static void __exit driver_exit(void)
{
	debug = 0;
}
module_exit(driver_exit);

MODULE_INFO(license, "Apache-2.0");
