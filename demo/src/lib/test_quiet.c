// SPDX-License-Identifier: Apache-2.0
/* Shares no name with anybody: a module that gets no alias. */
#include "linux/module.h"

static int quiet_runs;

static int __init quiet_test_init(void)
{
	return quiet_runs++;
}
module_init(quiet_test_init);

static void __exit quiet_test_exit(void)
{
	quiet_runs = 0;
}
module_exit(quiet_test_exit);

MODULE_INFO(license, "Apache-2.0");
