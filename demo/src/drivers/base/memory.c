// SPDX-License-Identifier: Apache-2.0
#include "linux/device.h"
#include "linux/sort.h"

static int debug;
int memory_blocks[4];

SHOW_STATE(online, 4)

SHOW_STATE(removable, 8)

static ssize_t state_show(struct device *dev,
			  const struct attr *attr, char *buf)
{
	debug = dev->id;
	sort(memory_blocks, 4, cmp_int);
	return emit(buf, memory_blocks[0] ? "online\n" : "offline\n");
}

const struct attr memory_attrs[] = {
	ATTR(online), ATTR(removable), ATTR(state),
};
