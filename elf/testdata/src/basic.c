// SPDX-License-Identifier: Apache-2.0
/* What every module has: functions, static data, init and exit sections. */
#define __init	__attribute__((__section__(".init.text")))
#define __exit	__attribute__((__section__(".exit.text"), __used__))
#define noinline __attribute__((__noinline__))

struct entry {
	const char *name;
	int (*show)(int);
};

int printk(const char *text, int value);

static int counter;
static int limit = 10;

static inline int clamp(int value)
{
	return value > limit ? limit : value;
}

static noinline int name_show(int value)
{
	static int last;

	last = clamp(value) + counter;
	return printk("name", last);
}

int type_show(int value,
	      int unused)
{
	counter += clamp(value);
	return printk("type", counter);
}

const struct entry entries[] = { { "name", name_show } };

int __init init_module(void)
{
	limit++;
	return name_show(limit);
}

static void __exit driver_exit(void)
{
	counter = 0;
}
