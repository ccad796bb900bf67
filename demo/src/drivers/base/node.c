// SPDX-License-Identifier: Apache-2.0
#include "linux/device.h"

SHOW_STATE(online, 1)
SHOW_STATE(removable, 2)

const struct attr node_attrs[] = { ATTR(online), ATTR(removable) };
