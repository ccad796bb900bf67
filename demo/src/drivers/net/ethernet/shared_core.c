// SPDX-License-Identifier: Apache-2.0
/* Linked into e1000.ko and into e1000e.ko. */
#include "shared_core.h"

static int debug;

static noinline int read_phy(struct device *dev, int reg)
{
	return dev->id + reg + debug;
}

int e1000_reset(struct device *dev)
{
	debug++;
	return read_phy(dev, dev->state) | read_phy(dev, debug);
}
