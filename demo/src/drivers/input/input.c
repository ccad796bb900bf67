// SPDX-License-Identifier: Apache-2.0
#include "linux/device.h"

static ssize_t name_show(struct device *dev, const struct attr *attr, char *buf)
{
	return dev->name ? emit(buf, dev->name) : 0;
}

static ssize_t type_show(struct device *dev, const struct attr *attr, char *buf)
{
	return emit(buf, dev->state & 2 ? "key\n" : "rel\n");
}

const struct attr input_attrs[] = { ATTR(name), ATTR(type) };
