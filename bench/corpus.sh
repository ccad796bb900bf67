#!/bin/sh
# Brings Debian's kernels with debugging information into the cache folder, without installing them:
#
#   bench/corpus.sh cloud-amd64|cloud-arm64|s390x|amd64   the newest 6.1
#   bench/corpus.sh cloud-amd64-old                       the oldest 6.1 that is still there
#   bench/corpus.sh cloud-amd64-6.12                      the newest 6.12
#   bench/corpus.sh image                                 the kernel itself, which boots, of cloud-amd64's
#   bench/corpus.sh headers                               what modules are built with out of the tree, of cloud-amd64's kernel
#
# The package lists of the machine stay as they are: this script keeps its own, so that a foreign architecture works,
# too. apt checks every hash against the signed lists and resumes a download that was cut off. What is complete is
# marked by a file and not asked for again. KAS_CACHE names another cache folder.
set -eu

name=${1:?usage: bench/corpus.sh NAME}
case $name in
cloud-amd64 | cloud-amd64-old | cloud-amd64-6.12 | amd64 | headers | image) arch=amd64 ;;
cloud-arm64) arch=arm64 ;;
s390x) arch=s390x ;;
*)
	echo "corpus: unknown $name; there are cloud-amd64, cloud-amd64-old, cloud-amd64-6.12, cloud-arm64, s390x, amd64, headers, image" >&2
	exit 2
	;;
esac

root=$(cd "$(dirname "$0")/.." && pwd)
cache=${KAS_CACHE:-$root/.cache}/corpus
dir=$cache/$name
if [ -f "$dir/complete" ]; then
	echo "corpus: $name is" $(cat "$dir/complete")
	exit 0
fi

apt=$cache/apt-$arch
mkdir -p "$apt/lists/partial" "$apt/archives/partial"
apt=$(cd "$apt" && pwd)
set -- -q \
	-o "APT::Architecture=$arch" -o "APT::Architectures=$arch" -o "APT::Sandbox::User=$(id -un)" \
	-o "Dir::State::lists=$apt/lists" -o "Dir::State::status=/dev/null" \
	-o "Dir::Cache=$apt" -o "Dir::Cache::archives=$apt/archives"

apt-get "$@" update

# debug PREFIX FLAVOUR OPTION...: the packages of a series' kernels, the oldest first.
debug() {
	series=$1 flavour=$2
	shift 2
	apt-cache "$@" pkgnames "linux-image-$series" | grep -E "^linux-image-[0-9.]+(-[0-9]+|[+]deb[0-9]+)-$flavour-dbg\$" | sort -V
}
case $name in
cloud-amd64-old) packages=$(debug 6.1.0- cloud-amd64 "$@" | head -n 1) ;;
cloud-amd64-6.12) packages=$(debug 6.12. cloud-amd64 "$@" | tail -n 1) ;;
headers | image)
	# Of the very kernel that was brought: its release stands in the name of its vmlinux.
	[ -e "$cache/cloud-amd64/complete" ] || {
		echo "corpus: $name is of cloud-amd64's kernel: bring that first" >&2
		exit 1
	}
	release=$(basename "$cache"/cloud-amd64/usr/lib/debug/boot/vmlinux-* | sed 's/^vmlinux-//')
	packages=linux-image-$release
	[ $name = image ] || packages="linux-headers-$release linux-headers-${release%-cloud-amd64}-common linux-kbuild-${release%%.0-*}"
	;;
*) packages=$(debug 6.1.0- "$name" "$@" | tail -n 1) ;;
esac
if [ -z "$packages" ]; then
	echo "corpus: no package for $name in the package lists; they are Debian 12's (bookworm)" >&2
	exit 1
fi

rm -rf "$dir.unpacking"
mkdir -p "$dir.unpacking"
for package in $packages; do
	wanted=$(apt-cache "$@" show "$package" | sed -n 's/^SHA256: //p' | head -n 1)
	(cd "$apt/archives" && apt-get "$@" download "$package")
	deb=$(ls -t "$apt/archives/${package}"_*.deb | head -n 1)
	echo "$wanted  $deb" | sha256sum -c -
	dpkg-deb -x "$deb" "$dir.unpacking"
	basename "$deb" .deb >>"$dir.unpacking/complete"
	rm -f "$deb"
done
rm -rf "$dir"
mv "$dir.unpacking" "$dir"
echo "corpus: $name is" $(cat "$dir/complete")
