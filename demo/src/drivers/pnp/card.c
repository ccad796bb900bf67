// SPDX-License-Identifier: Apache-2.0
#include "linux/device.h"
#include "linux/hdr_copy.h"

static int debug;

static ssize_t name_show(struct device *dev,
			 const struct attr *attr, char *buf)
{
	static char buf_copy[16];

	debug++;
	copy_from_header(buf_copy, dev->name, sizeof(buf_copy) - 1);
	return emit(buf, buf_copy);
}

static ssize_t card_id_show(struct device *dev,
			    const struct attr *attr, char *buf)
{
	return emit(buf, dev->id ? "pnp\n" : "none\n");
}

const struct attr pnp_card_attrs[] = { ATTR(name), ATTR(card_id) };
