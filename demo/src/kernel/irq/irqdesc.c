// SPDX-License-Identifier: Apache-2.0
#include "linux/device.h"
#include "linux/init.h"

static int debug;

static ssize_t hwirq_show(struct device *dev,
			  const struct attr *attr, char *buf)
{
	return emit(buf, dev->id ? "1\n" : "0\n");
}

static ssize_t type_show(struct device *dev,
			 const struct attr *attr, char *buf)
{
	return emit(buf, dev->state & 1 ? "level\n" : "edge\n");
}

static ssize_t name_show(struct device *dev,
			 const struct attr *attr, char *buf)
{
	if (debug)
		return 0;
	return emit(buf, dev->name);
}

const struct attr irq_attrs[] = { ATTR(hwirq), ATTR(type), ATTR(name) };

static int __init driver_init(void)
{
	debug = irq_attrs[0].name[0] == 'x';
	return 0;
}
initcall(driver_init);
