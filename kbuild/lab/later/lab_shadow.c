// SPDX-License-Identifier: GPL-2.0
/* Built after the kernel. Until now only vmlinux had a version_proc_show, which runs when /proc/version
 * is read. This one runs when /sys/kernel/lab_shadow/show is read.
 */
#include <linux/init.h>
#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/sysfs.h>

static noinline int version_proc_show(char *buf)
{
	return sysfs_emit(buf, "shadow\n");
}

static ssize_t show_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return version_proc_show(buf);
}

static struct kobj_attribute show = __ATTR(show, 0444, show_show, NULL);
static struct kobject *dir;

static int __init shadow_init(void)
{
	int err;

	dir = kobject_create_and_add("lab_shadow", kernel_kobj);
	if (!dir)
		return -ENOMEM;
	err = sysfs_create_file(dir, &show.attr);
	if (err)
		kobject_put(dir);
	return err;
}

static void __exit shadow_exit(void)
{
	kobject_put(dir);
}

module_init(shadow_init);
module_exit(shadow_exit);
MODULE_DESCRIPTION("A function with the name of a function of the kernel");
MODULE_LICENSE("GPL");
