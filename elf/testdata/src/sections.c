// SPDX-License-Identifier: Apache-2.0
/* A function whose blocks clang can place in several sections. */
extern int next(int x);
__attribute__((__cold__)) void warn(const char *text, int value);

static __attribute__((__noinline__)) int work(int x)
{
	int i, sum = 1;

	for (i = 0; i < x; i++)
		sum += next(i ^ sum);
	if (__builtin_expect(sum < 0, 0)) {
		warn("first", sum);
		warn("second", x);
		return next(sum) + 1;
	}
	return sum;
}

int entry(int x)
{
	return work(x) + work(x + 1);
}
