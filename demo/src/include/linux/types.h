// SPDX-License-Identifier: Apache-2.0
#ifndef _LINUX_TYPES_H
#define _LINUX_TYPES_H

typedef unsigned long size_t;
typedef long ssize_t;

#define noinline	__attribute__((__noinline__))
#if __has_attribute(__noclone__)
#define __noclone	__attribute__((__noclone__))
#else
#define __noclone
#endif
#define __used		__attribute__((__used__))
#define __cold		__attribute__((__cold__))
#define __section(s)	__attribute__((__section__(s)))
#define __init		__section(".init.text") __cold
#define __exit		__section(".exit.text") __used __cold
#define unlikely(x)	__builtin_expect(!!(x), 0)

__cold void warn(const char *msg, int line);
void *memcpy(void *to, const void *from, size_t n);

#endif
