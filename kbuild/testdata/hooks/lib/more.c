/* Only in an image that must not match the others, or in an out-of-tree module. */
#include "shared.h"

static int name_show(char *page) { return page[0] * 9; }
keep(name_show);

int common_scan(int level) { return level ^ 12; }
