// SPDX-License-Identifier: Apache-2.0
/* Equal functions: gcc folds those of this file, the linker those of fold_b.c too. */
struct device { int value, step; };

extern int total;
extern void emit(int value, struct device *dev);

int kept_store(struct device *dev, int n)
{
	for (int i = 0; i < n; i++) {
		dev->value += i * total;
		emit(dev->step, dev);
	}
	return n * 7 + total;
}

int copied_store(struct device *dev, int n)
{
	for (int i = 0; i < n; i++) {
		dev->value += i * total;
		emit(dev->step, dev);
	}
	return n * 7 + total;
}

static int kept_show(struct device *dev, int n)
{
	for (int i = 0; i < n; i++) {
		dev->value -= i * total;
		emit(dev->step, dev);
	}
	return n * 9 + total;
}

static int copied_show(struct device *dev, int n)
{
	for (int i = 0; i < n; i++) {
		dev->value -= i * total;
		emit(dev->step, dev);
	}
	return n * 9 + total;
}

int second_store(struct device *dev, int n) __attribute__((__alias__("kept_store")));

/* Equal to right_store of the other file. */
int left_store(struct device *dev, int n)
{
	for (; n > 0; n--)
		emit(n * 3, dev);
	return dev->value;
}

/* Equal to right_show of the other file. */
static int left_show(struct device *dev, int n)
{
	for (; n > 0; n--)
		emit(n * 5, dev);
	return dev->step;
}

/* Equal to that of the other file. */
static int same_show(struct device *dev, int n)
{
	for (; n > 0; n--)
		emit(n * 11, dev);
	return dev->step ^ dev->value;
}

const int left_table[4] = { 1, 2, 3, 5 };

int (*const fold_table[])(struct device *, int) = {
	kept_store, copied_store, kept_show, copied_show, left_store, left_show, same_show,
};
