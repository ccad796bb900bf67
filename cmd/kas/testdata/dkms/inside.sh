#!/bin/sh
# Runs a command where the packages of kernels are installed, and DKMS is as on a new machine:
#
#   unshare --mount sh inside.sh EMPTY-FOLDER "UNPACKED-PACKAGES..." COMMAND...
#
# Nothing outside is changed. What is written to /usr, /etc/dkms and /var/lib/dkms is in the folder.
set -eu
own=$1 packages=$2
shift 2
lower=
for p in $packages; do
	lower=$lower$p/usr:
done
for dir in usr etc/dkms var/lib/dkms; do
	mkdir -p "$own/$dir"
done
mkdir "$own/overlay"
mount -t overlay -o "lowerdir=$lower/usr,upperdir=$own/usr,workdir=$own/overlay" kas /usr
for dir in etc/dkms var/lib/dkms; do
	mkdir -p "/$dir"
	mount --bind "$own/$dir" "/$dir"
done
for p in $packages; do
	for build in "$p"/lib/modules/*/build; do
		[ -L "$build" ] || continue
		release=$(basename "$(dirname "$build")")
		mkdir -p "/usr/lib/modules/$release"
		ln -s "/usr/src/linux-headers-$release" "/usr/lib/modules/$release/build"
	done
done
exec "$@"
