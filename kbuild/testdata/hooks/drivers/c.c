/* Shares no name with anything. */
static int lonely(int level) { return level | 1; }
void *const c_table[] = { lonely };
