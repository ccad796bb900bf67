/* Stands for the tables of kallsyms: what it holds moves what comes after. */
	.section .rodata, "a"
	.globl kallsyms_names
kallsyms_names:
	.fill SIZE, 1, 1
	.size kallsyms_names, SIZE
