// SPDX-License-Identifier: Apache-2.0
/* The 32-bit loader is the 64-bit one, compiled again. */
#define ELF_CLASS	32
#define elf_format	compat_elf_format

#include "binfmt_elf.c"
