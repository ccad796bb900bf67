// SPDX-License-Identifier: Apache-2.0
#include "linux/device.h"

static ssize_t
name_show(struct device *dev, const struct attr *attr, char *buf)
{
	static char last[8];

	last[0] = dev->name[0];
	return emit(buf, last);
}

static ssize_t
date_show(struct device *dev, const struct attr *attr, char *buf)
{
	return emit(buf, dev->state ? "2026-01-01\n" : "\n");
}

const struct attr rtc_attrs[] = { ATTR(name), ATTR(date) };
