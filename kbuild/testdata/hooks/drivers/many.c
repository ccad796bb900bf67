/* The source of many modules. */
static int many_show(char *page) { return page[0] * 7; }

int many_probe(int level) { return level + 11; }
void *const many_table[] = { many_show, many_probe };
