int common_scan(int level) { return level ^ 6; }

/* Global in vmlinux. */
static int text_length(const char *s) { return s[0]; }
void *const b_util_table[] = { text_length };
