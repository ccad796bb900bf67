/* SPDX-License-Identifier: Apache-2.0 */
#include "linux/linkage.h"

	.text
SYM_START_LOCAL(fixup)
	mov	x0, #-22
	ret
SYM_END(fixup)

SYM_START(clear_user)
	cbz	x0, fixup
	mov	x0, #0
	ret
SYM_END(clear_user)

	.section .note.GNU-stack, "", %progbits
