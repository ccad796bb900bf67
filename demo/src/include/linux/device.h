// SPDX-License-Identifier: Apache-2.0
#ifndef _LINUX_DEVICE_H
#define _LINUX_DEVICE_H

#include "linux/types.h"

struct device {
	const char *name;
	int id, state;
};

struct attr {
	const char *name;
	ssize_t (*show)(struct device *dev, const struct attr *attr, char *buf);
};

#define ATTR(_name)	{ #_name, _name##_show }

/* Functions made by a macro: declared at the line of its use. */
#define SHOW_STATE(_name, _bit)						\
static ssize_t _name##_show(struct device *dev,				\
			    const struct attr *attr, char *buf)		\
{									\
	return emit(buf, dev->state & (_bit) ? "on\n" : "off\n");	\
}

ssize_t emit(char *buf, const char *s);
int register_driver(const char *name, int (*probe)(struct device *));

#endif
