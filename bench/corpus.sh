#!/bin/sh
# Brings Debian's newest 6.1 kernel with debugging information into the cache folder, without installing it:
#
#   bench/corpus.sh cloud-amd64|cloud-arm64|s390x|amd64
#
# The package lists of the machine stay as they are: this script keeps its own, so that a foreign architecture works,
# too. apt checks every hash against the signed lists and resumes a download that was cut off. What is complete is
# marked by a file and not asked for again. KAS_CACHE names another cache folder.
set -eu

flavour=${1:?usage: bench/corpus.sh FLAVOUR}
case $flavour in
cloud-amd64 | amd64) arch=amd64 ;;
cloud-arm64) arch=arm64 ;;
s390x) arch=s390x ;;
*)
	echo "corpus: unknown flavour $flavour; there are cloud-amd64, cloud-arm64, s390x, amd64" >&2
	exit 2
	;;
esac

root=$(cd "$(dirname "$0")/.." && pwd)
cache=${KAS_CACHE:-$root/.cache}/corpus
dir=$cache/$flavour
if [ -f "$dir/complete" ]; then
	echo "corpus: $flavour is $(cat "$dir/complete")"
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
package=$(apt-cache "$@" pkgnames linux-image-6.1.0- |
	grep -E "^linux-image-6\.1\.0-[0-9]+-$flavour-dbg\$" | sort -V | tail -n 1)
if [ -z "$package" ]; then
	echo "corpus: no linux-image-6.1.0-N-$flavour-dbg in the package lists; they are Debian 12's (bookworm)" >&2
	exit 1
fi
wanted=$(apt-cache "$@" show "$package" | sed -n 's/^SHA256: //p' | head -n 1)

(cd "$apt/archives" && apt-get "$@" download "$package")
deb=$(ls -t "$apt/archives/${package}"_*.deb | head -n 1)
echo "$wanted  $deb" | sha256sum -c -

rm -rf "$dir.unpacking"
mkdir -p "$dir.unpacking"
dpkg-deb -x "$deb" "$dir.unpacking"
rm -rf "$dir"
mv "$dir.unpacking" "$dir"
basename "$deb" .deb >"$dir/complete"
rm -f "$deb"
echo "corpus: $flavour is $(cat "$dir/complete")"
