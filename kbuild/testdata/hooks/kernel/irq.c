#include "shared.h"

static int state = 2;

int irq_count(void) { return state; }

static int __attribute__((cold)) name_show(char *page) { state -= page[0]; return 2; }
keep(name_show);
keep(reset);

static int __attribute__((section(".init.text"))) setup(void) { return state + 8; }
keep(setup);

/* Unique in vmlinux. A module has a function of this name, too. */
static int probe(int level) { return level + state; }
keep(probe);
