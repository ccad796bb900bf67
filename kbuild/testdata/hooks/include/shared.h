/* A static function of a header: one for each file that includes it. */
static int reset(int level) { return level * 3 + 1; }

#define keep(f) __attribute__((used)) static void *keep_##f = f
