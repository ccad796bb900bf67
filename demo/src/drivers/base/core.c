// SPDX-License-Identifier: Apache-2.0
#include "linux/device.h"
#include "linux/hdr_copy.h"

static int debug;

static int probe(struct device *dev)
{
	return dev->id - debug;
}

int register_driver(const char *name, int (*fn)(struct device *))
{
	static struct device dev;
	static char buf[16];

	debug = copy_from_header(buf, name, sizeof(buf) - 1);
	dev.name = buf;
	return fn ? fn(&dev) : probe(&dev);
}

int (*const default_probe)(struct device *) = probe;
