// SPDX-License-Identifier: GPL-2.0
/* One module with two functions of the same name: /sys/kernel/lab_twins/one runs the first value_show,
 * /sys/kernel/lab_twins/two the second.
 */
#include <linux/init.h>
#include <linux/module.h>
#include "twins.h"

static struct attribute *attrs[] = { &twin_one.attr, &twin_two.attr, NULL };
static const struct attribute_group group = { .attrs = attrs };
static struct kobject *dir;

static int __init twins_init(void)
{
	int err;

	dir = kobject_create_and_add("lab_twins", kernel_kobj);
	if (!dir)
		return -ENOMEM;
	err = sysfs_create_group(dir, &group);
	if (err)
		kobject_put(dir);
	return err;
}

static void __exit twins_exit(void)
{
	kobject_put(dir);
}

module_init(twins_init);
module_exit(twins_exit);
MODULE_DESCRIPTION("Two functions of the same name in one module");
MODULE_LICENSE("GPL");
