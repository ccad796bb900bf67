/* In no image but one that is not to be like the others, or in a module out of the tree. */
#include "shared.h"

static int name_show(char *page) { return page[0] * 9; }
keep(name_show);

int common_scan(int level) { return level ^ 12; }
