// SPDX-License-Identifier: Apache-2.0
#include "linux/device.h"
#include "linux/module.h"

static ssize_t type_show(struct device *dev, const struct attr *attr, char *buf)
{
	static char last[8];

	last[0] = dev->state;
	return emit(buf, last);
}

const struct attr evdev_attrs[] = { ATTR(type) };

static int __init driver_init(void)
{
	return register_driver("evdev", 0);
}
module_init(driver_init);

static void __exit driver_exit(void)
{
	warn("evdev gone", 0);
}
module_exit(driver_exit);

MODULE_INFO(license, "Apache-2.0");
