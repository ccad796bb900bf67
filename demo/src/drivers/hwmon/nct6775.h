// SPDX-License-Identifier: Apache-2.0
#ifndef _NCT6775_H
#define _NCT6775_H

#include "linux/device.h"

extern const struct attr nct6775_attrs[2];
int nct6775_register(struct device *dev);

#endif
