int common_probe(int level);

int common_scan(int level) { return common_probe(level) + 2; }

static int name_show(char *page) { return page[0] + common_scan(page[1]); }
void *const a_table[] = { name_show, common_scan };
