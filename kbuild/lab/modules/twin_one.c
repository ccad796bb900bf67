// SPDX-License-Identifier: GPL-2.0
#include "twins.h"

static ssize_t value_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "one\n");
}

struct kobj_attribute twin_one = __ATTR(one, 0444, value_show, NULL);
