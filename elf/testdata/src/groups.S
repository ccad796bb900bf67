/* SPDX-License-Identifier: Apache-2.0 */
/* Sections in groups: one COMDAT, one plain, one with two members. */
	.section .text.shared, "axG", %progbits, shared, comdat
	.weak shared
	.type shared, %function
shared:
	.long 0
	.size shared, . - shared

	.section .text.pair, "axG", %progbits, pair
	.type pair, %function
pair:
	.long 1
	.size pair, . - pair

	.section .data.pair, "awG", %progbits, pair
	.type pair_data, %object
pair_data:
	.quad pair
	.quad shared
	.size pair_data, . - pair_data

	.section .note.GNU-stack, "", %progbits
