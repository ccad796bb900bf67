// SPDX-License-Identifier: Apache-2.0
#include "linux/device.h"

static ssize_t name_show(struct device *dev, const struct attr *attr, char *buf)
{
	if (unlikely(!dev->name)) {
		warn("class without a name", dev->id);
		dev->name = "class";
		dev->state = -1;
		warn("named", dev->state);
	}
	return emit(buf, dev->name);
}

const struct attr class_attrs[] = { ATTR(name) };
