// SPDX-License-Identifier: Apache-2.0
#include "nct6775.h"

static int debug;

static noinline int update(struct device *dev, int bank)
{
	dev->state = dev->id << bank;
	return dev->state + debug;
}

static ssize_t name_show(struct device *dev,
			 const struct attr *attr, char *buf)
{
	return emit(buf, dev->name);
}

static ssize_t temp_show(struct device *dev,
			 const struct attr *attr, char *buf)
{
	return emit(buf, update(dev, buf[0]) ? "1\n" : "0\n");
}

const struct attr nct6775_attrs[2] = { ATTR(name), ATTR(temp) };

int nct6775_register(struct device *dev)
{
	debug++;
	return update(dev, dev->id);
}
