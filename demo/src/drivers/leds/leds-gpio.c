// SPDX-License-Identifier: Apache-2.0
#include "linux/device.h"
#include "linux/module.h"

static ssize_t brightness_show(struct device *dev,
			       const struct attr *attr, char *buf)
{
	return emit(buf, dev->state & 1 ? "1\n" : "0\n");
}

SHOW_STATE(online, 16)

const struct attr gpio_attrs[] = { ATTR(brightness), ATTR(online) };

static int __init driver_init(void)
{
	return register_driver("leds-gpio", 0);
}
module_init(driver_init);

static void __exit driver_exit(void)
{
	warn("leds-gpio gone", 0);
}
module_exit(driver_exit);

MODULE_INFO(license, "Apache-2.0");
