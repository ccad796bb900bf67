// SPDX-License-Identifier: Apache-2.0
#include "linux/device.h"

static ssize_t brightness_show(struct device *dev,
			       const struct attr *attr, char *buf)
{
	return emit(buf, dev->state ? "255\n" : "0\n");
}

const struct attr led_dash_attrs[] = { ATTR(brightness) };
