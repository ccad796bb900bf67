// SPDX-License-Identifier: Apache-2.0
#ifndef BITS
#define BITS	64
#define format	binfmt
#endif

static int load_binary(const char *file)
{
	return file[4] == BITS / 32;
}

int (*const format)(const char *) = load_binary;
