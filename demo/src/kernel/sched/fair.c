// SPDX-License-Identifier: Apache-2.0
#include "linux/types.h"

struct cfs_rq {
	int weight, clock;
};

static int debug;
struct cfs_rq cfs_root[2];

static noinline int update_load(struct cfs_rq *cfs, int cpu)
{
	if (unlikely(cfs->weight < 0)) {
		warn("weight below zero", cfs->weight);
		cfs->weight = 0;
		debug++;
		warn("reset", cfs->clock);
	}
	return cfs->weight + debug;
}

static noinline int scale(const struct cfs_rq *cfs)
{
	return cfs->weight * 3 / 2;
}

static noinline int pick_next(struct cfs_rq *cfs, int mode)
{
	int i, best = 0;

	for (i = 0; i < 2; i++)
		if (cfs[i].weight - mode > best)
			best = cfs[i].weight + cfs[i].clock;
	return best;
}

int fair_tick(void)
{
	return update_load(&cfs_root[0], cfs_root[0].clock) +
	       update_load(&cfs_root[1], cfs_root[1].clock) +
	       scale(&cfs_root[0]) + scale(&cfs_root[1]) +
	       pick_next(cfs_root, 1);
}

int fair_yield(void)
{
	return pick_next(cfs_root, 1) - 2;
}
