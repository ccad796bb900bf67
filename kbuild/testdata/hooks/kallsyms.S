/* In place of the tables of kallsyms: its size moves what follows. */
	.section .rodata, "a"
	.globl kallsyms_names
kallsyms_names:
	.fill SIZE, 1, 1
	.size kallsyms_names, SIZE
