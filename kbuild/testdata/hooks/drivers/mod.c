/* What modpost adds to a module. */
#define text(s) #s
#define string(s) text(s)

__attribute__((used, section(".modinfo"))) static const char __UNIQUE_ID_name_1[] = "name=" string(NAME);
__attribute__((visibility("default"), section(".gnu.linkonce.this_module"))) char __this_module[64] = string(NAME);
