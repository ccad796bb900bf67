// SPDX-License-Identifier: Apache-2.0
#define BITS	32
#define format	compat_binfmt

#include "binfmt.c"
