#!/bin/sh
# Fetches Debian's kernels with debugging information into the cache folder, without installing them:
#
#   bench/corpus.sh cloud-amd64|cloud-arm64|s390x|amd64|686|mips64r2el   a 6.1
#   bench/corpus.sh cloud-amd64-old                                      an older 6.1
#   bench/corpus.sh cloud-amd64-6.12                                     a 6.12
#   bench/corpus.sh next-cloud-amd64|next-cloud-arm64    the newest of trixie-backports
#   bench/corpus.sh next-riscv64|next-loong64            the newest of sid
#   bench/corpus.sh headers|headers-old                  what out-of-tree modules are built with
#   bench/corpus.sh image                                the kernel that boots
#   bench/corpus.sh package                              cloud-amd64's package as it is
#
# headers and image are of the kernel that cloud-amd64 has, headers-old is of that of cloud-amd64-old.
# KAS_CACHE names another cache folder. System.map is in the package of the debugging information.
#
# The script keeps its own package lists, so that the machine's stay as they are and a foreign
# architecture or another suite works too. apt checks every hash against the signed lists and resumes
# a download that was cut off. The file "complete" marks a corpus that is whole and names its
# packages; a whole corpus is not fetched again.
set -eu

# Each corpus has a pinned package and version, so that tests and measurements have the same input every
# time. Debian removes a kernel some time after its successor's release. The script then takes the
# newest or oldest kernel of the series and says so: pin that one here. The columns are: name,
# architecture, package, version, which one instead, flavour, suite ("-": the machine's own sources,
# Debian 12), and how the releases of the series begin (nothing: any).
corpora() {
	cat <<-END
		cloud-amd64      amd64    linux-image-6.1.0-56-cloud-amd64-dbg       6.1.192-2          newest cloud-amd64 -                6.1.0-
		cloud-amd64-old  amd64    linux-image-6.1.0-47-cloud-amd64-dbg       6.1.170-3          oldest cloud-amd64 -                6.1.0-
		cloud-amd64-6.12 amd64    linux-image-6.12.117+deb12-cloud-amd64-dbg 6.12.117-1~deb12u1 newest cloud-amd64 -                6.12.
		cloud-arm64      arm64    linux-image-6.1.0-56-cloud-arm64-dbg       6.1.192-2          newest cloud-arm64 -                6.1.0-
		s390x            s390x    linux-image-6.1.0-50-s390x-dbg             6.1.176-1          newest s390x       -                6.1.0-
		package          amd64    linux-image-6.1.0-56-cloud-amd64-dbg       6.1.192-2          newest cloud-amd64 -                6.1.0-
		amd64            amd64    linux-image-6.1.0-56-amd64-dbg             6.1.192-2          newest amd64       -                6.1.0-
		686              i386     linux-image-6.1.0-50-686-dbg               6.1.176-1          newest 686         -                6.1.0-
		mips64r2el       mips64el linux-image-6.1.0-50-mips64r2el-dbg        6.1.176-1          newest mips64r2el  -                6.1.0-
		next-cloud-amd64 amd64    linux-image-7.3.4+deb13-cloud-amd64-dbg    7.3.4-1~bpo13+1    newest cloud-amd64 trixie-backports
		next-cloud-arm64 arm64    linux-image-7.3.4+deb13-cloud-arm64-dbg    7.3.4-1~bpo13+1    newest cloud-arm64 trixie-backports
		next-riscv64     riscv64  linux-image-7.2.13+deb14-riscv64-dbg       7.2.13-1           newest riscv64     sid
		next-loong64     loong64  linux-image-7.2.13+deb14-loong64-dbg       7.2.13-1           newest loong64     sid
	END
}

say() { echo "corpus: $*"; }

die() {
	echo "corpus: $*" >&2
	exit "${status:-1}"
}

name=${1:?usage: bench/corpus.sh NAME}
arch= package= version= which= flavour= suite=- series=
case $name in
headers | headers-old | image) arch=amd64 ;;
*)
	row=$(corpora | grep "^$name ") ||
		status=2 die "unknown $name; there are" $(corpora | cut -d ' ' -f 1) headers headers-old image
	read -r name arch package version which flavour suite series <<-END
		$row
	END
	;;
esac

root=$(cd "$(dirname "$0")/.." && pwd)
cache=${KAS_CACHE:-$root/.cache}/corpus
dir=$cache/$name
if [ -f "$dir/complete" ]; then
	say "$name is" $(cat "$dir/complete")
	if [ -n "$package" ] && ! grep -qxF "${package}_${version}_$arch" "$dir/complete"; then
		say "$name is not the pinned $package $version: remove $dir to fetch that one"
	fi
	exit 0
fi

apt=$cache/apt-$arch
[ "$suite" = - ] || apt=$apt-$suite
mkdir -p "$apt"
apt=$(cd "$apt" && pwd)
. "$root/bench/apt.sh"
apt_lists "$apt" "$arch" "$suite"
set -- -q -c "$apt/apt.conf"

# in_archive PACKAGE VERSION OPTION...: whether the package lists have it. apt-cache show prints nothing
# and exits 0 for a version that they do not have.
in_archive() {
	wanted=$1=$2
	shift 2
	[ -n "$(apt-cache "$@" show "$wanted" 2>/dev/null)" ]
}

# series_packages OPTION...: the packages of the series' kernels, the oldest first.
series_packages() {
	apt-cache "$@" pkgnames "linux-image-$series" |
		grep -E "^linux-image-[0-9.]+(-[0-9]+|[+]deb[0-9]+)-$flavour-dbg\$" | sort -V
}

case $name in
headers | headers-old | image)
	# The release is part of the name of vmlinux, the version part of the package's file name.
	of=cloud-amd64
	[ $name != headers-old ] || of=cloud-amd64-old
	[ -e "$cache/$of/complete" ] || die "$name needs $of: fetch that first"
	release=$(basename "$cache"/$of/usr/lib/debug/boot/vmlinux-* | sed 's/^vmlinux-//')
	version=$(cut -d _ -f 2 "$cache/$of/complete")
	packages=linux-image-$release
	[ $name = image ] || packages="linux-headers-$release \
		linux-headers-${release%-cloud-amd64}-common linux-kbuild-${release%%.0-*}"
	;;
*)
	packages=$package
	if ! in_archive "$package" "$version" "$@"; then
		case $which in
		newest) packages=$(series_packages "$@" | tail -n 1) ;;
		oldest) packages=$(series_packages "$@" | head -n 1) ;;
		esac
		[ -n "$packages" ] || die "no package for $name in the package lists"
		say "the archive no longer has $package $version: taking $packages, the $which"
		version=$(apt-cache "$@" show "$packages" | sed -n 's/^Version: //p' | head -n 1)
	fi
	;;
esac

rm -rf "$dir.unpacking"
mkdir -p "$dir.unpacking"
for package in $packages; do
	exact=$package=$version
	if ! in_archive "$package" "$version" "$@"; then
		say "the archive has $package, but not version $version: taking the newest"
		exact=$package
	fi
	wanted=$(apt-cache "$@" show "$exact" | sed -n 's/^SHA256: //p' | head -n 1)
	(cd "$apt/archives" && apt-get "$@" download "$exact")
	deb=$(ls -t "$apt/archives/${package}"_*.deb | head -n 1)
	echo "$wanted  $deb" | sha256sum -c -
	if [ $name = package ]; then
		cp "$deb" "$dir.unpacking"
	else
		dpkg-deb -x "$deb" "$dir.unpacking"
	fi
	basename "$deb" .deb >>"$dir.unpacking/complete"
	rm -f "$deb"
done
rm -rf "$dir"
mv "$dir.unpacking" "$dir"
say "$name is" $(cat "$dir/complete")
