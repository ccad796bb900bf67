/* SPDX-License-Identifier: Apache-2.0 */
/* A local function name that other files have too, without C. */
#ifdef __s390x__
#define NOP	nopr %r0
#else
#define NOP	nop
#endif

	.text
	.balign 4
	.type fixup, %function
fixup:
	NOP
	.size fixup, . - fixup

	.globl copy_user
	.type copy_user, %function
copy_user:
	NOP
	NOP
	.size copy_user, . - copy_user

	.section .init.text, "ax", %progbits
	.type fixup_init, %function
fixup_init:
	NOP
	.size fixup_init, . - fixup_init

	.section .note.GNU-stack, "", %progbits
