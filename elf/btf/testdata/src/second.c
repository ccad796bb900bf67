union word { long n; char c[8]; };

static __attribute__((noinline)) long twin(union word *w) { return w->n; }
double half(union word *w) { return twin(w) / 2.0; }
