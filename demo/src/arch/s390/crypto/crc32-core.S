/* SPDX-License-Identifier: Apache-2.0 */
#include "linux/linkage.h"

	.text
SYM_START_LOCAL(fixup)
	lghi	%r2, -1
	br	%r14
SYM_END(fixup)

SYM_START(crc32_update)
	ltgr	%r2, %r2
	jz	fixup
	lghi	%r2, 0
	br	%r14
SYM_END(crc32_update)

	.section .note.GNU-stack, "", %progbits
