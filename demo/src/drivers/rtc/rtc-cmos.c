// SPDX-License-Identifier: Apache-2.0
#include "linux/device.h"
#include "linux/module.h"
#include "linux/sort.h"

static int alarms[4];

static ssize_t name_show(struct device *dev,
			 const struct attr *attr, char *buf)
{
	return emit(buf, alarms[0] ? "rtc_cmos\n" : "rtc\n");
}

const struct attr cmos_attrs[] = { ATTR(name) };

static int probe(struct device *dev)
{
	alarms[0] = dev->id;
	sort(alarms, 4, cmp_int);
	return alarms[0];
}

static int __init driver_init(void)
{
	return register_driver("rtc_cmos", probe);
}
module_init(driver_init);

static void __exit driver_exit(void)
{
	alarms[0] = 0;
}
module_exit(driver_exit);

MODULE_INFO(license, "Apache-2.0");
