/* SPDX-License-Identifier: Apache-2.0 */
#include "linux/linkage.h"

	.text
SYM_START_LOCAL(fixup)
	lghi	%r2, -14
	br	%r14
SYM_END(fixup)

SYM_START(copy_user)
	ltgr	%r2, %r2
	jz	fixup
	lghi	%r2, 0
	br	%r14
SYM_END(copy_user)

	.section .note.GNU-stack, "", %progbits
