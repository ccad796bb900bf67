// SPDX-License-Identifier: Apache-2.0
/* Functions that are equal to some of fold_a.c. */
struct device { int value, step; };

extern void emit(int value, struct device *dev);

int right_store(struct device *dev, int n)
{
	for (; n > 0; n--)
		emit(n * 3, dev);
	return dev->value;
}

static int right_show(struct device *dev, int n)
{
	for (; n > 0; n--)
		emit(n * 5, dev);
	return dev->step;
}

static int same_show(struct device *dev, int n)
{
	for (; n > 0; n--)
		emit(n * 11, dev);
	return dev->step ^ dev->value;
}

/* A second name of a function that is folded: nothing says which of two it is. */
int second_right(struct device *dev, int n) __attribute__((__alias__("right_store")));

/* A second name of a function that is alone. */
int alone_store(struct device *dev, int n)
{
	emit(n, dev);
	return n / 3;
}

int second_alone(struct device *dev, int n) __attribute__((__alias__("alone_store")));

const int right_table[4] = { 1, 2, 3, 5 };

static int (*const table[])(struct device *, int) = {
	right_store, right_show, same_show, alone_store,
};

int fold_b(struct device *dev, int n)
{
	return table[right_table[n & 3]](dev, n);
}
