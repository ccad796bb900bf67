/* A static function in a header: every file that includes it has a copy. */
static int reset(int level) { return level * 3 + 1; }

#define keep(f) __attribute__((used)) static void *keep_##f = f
