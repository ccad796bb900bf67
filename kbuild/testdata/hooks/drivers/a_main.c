#include "shared.h"

static int state = 3;

static int probe(int level) { return level - state; }
keep(probe);

static int name_show(char *page) { return page[0] + state++; }
keep(name_show);

/* Global in two modules. */
int common_probe(int level) { return probe(level) + reset(level); }

int __attribute__((weak)) common_weak(int level) { return level - 1; }

int alpha_only(char *page) { return name_show(page) + common_probe(4); }

static int __attribute__((section(".init.text"))) setup(void) { return state + 7; }
keep(setup);
