// SPDX-License-Identifier: Apache-2.0
#include "linux/device.h"
#include "linux/hdr_copy.h"

size_t copy_user(void *to, const void *from, size_t n);
size_t clear_user(void *to, size_t n);

ssize_t emit(char *buf, const char *s)
{
	return copy_from_header(buf, s, 4096);
}

void *memcpy(void *to, const void *from, size_t n)
{
	copy_user(to, from, n);
	return to;
}

void warn(const char *msg, int line)
{
	static char buf[64];

	clear_user(buf, sizeof(buf));
	copy_from_header(buf, msg, line & 63);
}
