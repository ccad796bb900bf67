/* SPDX-License-Identifier: GPL-2.0 */
#include <linux/kobject.h>
#include <linux/sysfs.h>

extern struct kobj_attribute twin_one, twin_two;
