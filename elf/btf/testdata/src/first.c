struct pair { int a, b; };
enum kind { ONE, TWO };
typedef int (*call)(struct pair *);

int sum(struct pair *p) { return p->a + p->b; }
static __attribute__((noinline)) int twin(int x) { return x + 1; }
enum kind choose(volatile const int *x, call f, struct pair *p) { return f(p) + twin(*x) ? ONE : TWO; }
