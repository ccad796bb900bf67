// SPDX-License-Identifier: GPL-2.0
/* Patches the show function of an attribute, given by its name and by its position among the symbols of
 * that name, in the module "object" or, without it, in vmlinux.
 */
#include <linux/device.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/sysfs.h>

static char *object;
module_param(object, charp, 0444);
static char *name = "name_show";
module_param(name, charp, 0444);
static unsigned long position;
module_param(position, ulong, 0444);

static ssize_t patched_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "patched\n");
}

static struct klp_func funcs[] = { { .new_func = patched_show }, { } };
static struct klp_object objs[] = { { .funcs = funcs }, { } };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs };

static int __init klp_init(void)
{
	objs[0].name = object;
	funcs[0].old_name = name;
	funcs[0].old_sympos = position;
	return klp_enable_patch(&patch);
}

/* Runs only after the patch is disabled. */
static void __exit klp_exit(void)
{
}

module_init(klp_init);
module_exit(klp_exit);
MODULE_DESCRIPTION("Livepatch of a function found by its name and position");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
