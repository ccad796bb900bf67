// SPDX-License-Identifier: Apache-2.0
#include "linux/types.h"
#include "linux/sort.h"

struct rq {
	int load, nr, clock;
};

static int debug;
struct rq runqueues[2];
int rq_order[2];

/* cpu is never read: gcc drops it and makes a clone. */
static noinline int update_load(struct rq *rq, int cpu)
{
	if (unlikely(rq->nr < 0)) {
		warn("nr below zero", rq->nr);
		rq->nr = 0;
		debug++;
		warn("reset", rq->load);
	}
	return rq->load * rq->nr + debug;
}

/* Only one member is read: gcc passes it by value and says .isra. */
static noinline int scale(const struct rq *rq)
{
	return rq->load * 3 / 2;
}

/* mode is always 1: gcc makes a .constprop clone. */
static noinline int pick_next(struct rq *rq, int mode)
{
	int i, best = 0;

	for (i = 0; i < 2; i++)
		if (rq[i].load * mode > best)
			best = rq[i].load << mode;
	return best;
}

int schedule(void)
{
	sort(rq_order, 2, cmp_int);
	return update_load(&runqueues[0], rq_order[0]) +
	       update_load(&runqueues[1], rq_order[1]) +
	       scale(&runqueues[0]) + scale(&runqueues[1]) +
	       pick_next(runqueues, 1);
}

int schedule_idle(void)
{
	return pick_next(runqueues, 1) - 1;
}
