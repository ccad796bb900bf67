// SPDX-License-Identifier: Apache-2.0
#include "linux/init.h"

#ifndef ELF_CLASS
#define ELF_CLASS	64
#endif

struct binfmt {
	int (*load)(const char *file);
	int class;
};

static noinline int elf_map(const char *file, int flags)
{
	return file[4] == ELF_CLASS / 32 ? flags : -8;
}

static int load_elf_binary(const char *file)
{
	int i, ret = 0;

	if (file[0] != 0x7f)
		return -8;
	for (i = 0; i < ELF_CLASS; i += 32)
		ret |= elf_map(file, file[i]);
	return ret;
}

struct binfmt elf_format = { load_elf_binary, ELF_CLASS };

static int __init init_elf_binfmt(void)
{
	return elf_format.load != load_elf_binary;
}
initcall(init_elf_binfmt);
