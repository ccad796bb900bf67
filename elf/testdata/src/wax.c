// SPDX-License-Identifier: Apache-2.0
/* wax.lds puts code that is patched at run time into .data, which makes it executable. */
struct task { int pid; char comm[16]; };

struct task init_task = { 1, "swapper" };
static int counter = 2;
static int counter_twin[4] = { 3 };

__attribute__((__section__(".data.patched,\"awx\",@progbits#"))) int patched(int x)
{
	return x + counter;
}

static __attribute__((__noinline__)) int next_pid(int x)
{
	return x * 3 + counter_twin[x & 3];
}

/* Labels without a type, in the text and in the data. */
__asm__(".pushsection .text\n.globl text_label\ntext_label: nop\n.popsection\n"
	".pushsection .data\n.globl data_label\ndata_label: .long 5\n.popsection\n");

int _start(int x)
{
	init_task.pid = next_pid(x);
	return patched(counter++);
}
