// SPDX-License-Identifier: Apache-2.0
#include "linux/device.h"
#include "linux/hdr_copy.h"
#include "linux/module.h"

static int debug;

static ssize_t name_show(struct device *dev,
			 const struct attr *attr, char *buf)
{
	static char name[8];

	copy_from_header(name, dev->name, sizeof(name) - 1);
	return emit(buf, name);
}

static ssize_t temp_show(struct device *dev,
			 const struct attr *attr, char *buf)
{
	return emit(buf, dev->state > 40 ? "hot\n" : "cold\n");
}

const struct attr lm75_attrs[] = { ATTR(name), ATTR(temp) };

static int probe(struct device *dev)
{
	if (unlikely(dev->id < 0)) {
		warn("no such sensor", dev->id);
		dev->state = -1;
		debug++;
		warn("off", debug);
	}
	return dev->id;
}

static int __init driver_init(void)
{
	return register_driver("lm75", probe);
}
module_init(driver_init);

static void __exit driver_exit(void)
{
	warn("lm75 gone", debug);
}
module_exit(driver_exit);

MODULE_INFO(license, "Apache-2.0");
