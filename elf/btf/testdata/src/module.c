struct pair { int a, b; };
struct own { struct pair p; long more; };

/* Also in the base, with the same type: BTF of the module leaves it out. */
int sum(struct pair *p) { return p->b; }
long own(struct own *o) { return o->more + sum(&o->p); }
