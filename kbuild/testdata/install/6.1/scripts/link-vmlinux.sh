#!/bin/sh
# Written for kas's tests: shows which tools Linux 6.1 would link and list vmlinux with.
set -e
LD="$1"

is_enabled() {
	grep -q "^$1=y" include/config/auto.conf
}

vmlinux_link() {
	local ld="${LD}"
	${ld} -m test -o ${1}
}

${MAKE} -f "${srctree}/scripts/Makefile.build" obj=init init/version-timestamp.o

vmlinux_link vmlinux
sh "${srctree}/scripts/mksysmap" vmlinux
