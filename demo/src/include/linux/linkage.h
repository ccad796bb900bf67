/* SPDX-License-Identifier: Apache-2.0 */
#define SYM_START_LOCAL(name)			\
	.balign 4;				\
	.type name, %function;			\
name:

#define SYM_START(name)				\
	.globl name;				\
	SYM_START_LOCAL(name)

#define SYM_END(name)				\
	.size name, . - name
