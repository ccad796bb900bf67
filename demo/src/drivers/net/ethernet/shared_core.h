// SPDX-License-Identifier: Apache-2.0
#ifndef _SHARED_CORE_H
#define _SHARED_CORE_H

#include "linux/device.h"

int e1000_reset(struct device *dev);

#endif
