#!/bin/bash
# test.sh: makes the release twice and compares, then installs and tries each form of it in a bare
# Debian 12: the .deb, the .rpm, the archive, and make install from a clone with the Go that
# README.md names. It needs root, debootstrap and rpm, and fetches 300 MB.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "dist/test.sh: chroot needs root" >&2; exit 1; }

work=$(mktemp -d)
root=$work/root
cleanup() {
	umount -q "$root/proc" || true
	rm -rf "$work"
}
trap cleanup EXIT
say() { echo "== $*"; }

say "the release is the same twice"
git clone -q . "$work/one"
git clone -q . "$work/two"
make -s -C "$work/one" dist
FRESH=1 make -s -C "$work/two" dist
cmp "$work/one/bin/dist/SHA256SUMS" "$work/two/bin/dist/SHA256SUMS"
(cd "$work/one/bin/dist" && sha256sum -c SHA256SUMS)

say "a bare Debian 12"
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' \
	'Label: Debian' | head -n 1)
debootstrap --variant=minbase bookworm "$root" "$mirror" >"$work/debootstrap.log" ||
	{ tail "$work/debootstrap.log" >&2; exit 1; }
cp /etc/hosts /etc/resolv.conf "$root/etc/"
mount -t proc proc "$root/proc"
cp "$work"/one/bin/dist/kas* "$root/srv/"
inside() { chroot "$root" env -i HOME=/srv PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin \
	GOPROXY="$(go env GOPROXY)" bash -euc "$1"; }

# What every installed form must do.
try='
	kas --version | grep -E "^kas [0-9]+[.][0-9]+[.][0-9]+ "
	cd "$(mktemp -d)" && kas demo >/dev/null && kas verify kas-demo/out
	kas-nm --tool=echo passed | grep -qx passed
	ls -l $(command -v kas-nm) | grep -q "kas-nm -> kas-ld$"
	LLVM=/no/ kas-ld -v 2>&1 | grep -q "/no/ld.lld: not found"
	for f in man/man1/kas.1 man/man1/kas-run.1 bash-completion/completions/kas \
		zsh/site-functions/_kas fish/vendor_completions.d/kas.fish; do
		ls $1/share/$f* >/dev/null
	done'

say "kas_*_amd64.deb"
inside "dpkg -i /srv/kas_*_amd64.deb >/dev/null; set -- /usr; $try; dpkg -r kas >/dev/null
	[ ! -e /usr/bin/kas ]"

say "kas-*.x86_64.rpm"
rpm --root "$root" --nodeps --nosignature -i "$work"/one/bin/dist/kas-*.x86_64.rpm
inside "set -- /usr; $try"
rpm --root "$root" --nodeps -e kas
[ ! -e "$root/usr/bin/kas" ]

say "kas-*-linux-amd64.tar.gz"
inside "tar -C /usr/local --strip-components 1 -xf /srv/kas-*-linux-amd64.tar.gz; set -- /usr/local
	$try; rm /usr/local/bin/kas*"

say "make, without Go"
inside "apt-get -q update >/dev/null; apt-get -q install -y --no-install-recommends make git \
	ca-certificates >/dev/null"
cp -r /etc/ssl/certs "$root/etc/ssl/" # a mirror of Go's modules may have a certificate of its own
mkdir -p "$root/usr/local/share/ca-certificates"
git clone -q . "$root/srv/kas"
inside 'cd /srv/kas; ! make build 2>message; cat message; grep -q "needs Go 1.26 or later" message'

say "make, with an older Go"
inside 'apt-get -q install -y --no-install-recommends golang-go >/dev/null; cd /srv/kas
	! make build 2>message; cat message
	grep -q "needs Go 1.26 or later, and this is go1.19" message'

say "make install, as README.md says"
sed -n '/^## Install/,/^## /s/^    //p' README.md >"$root/srv/install.sh"
cat "$root/srv/install.sh"
inside "cd /srv/kas
	bash -eu /srv/install.sh >/srv/log 2>&1 || { tail /srv/log; exit 1; }
	set -- /usr/local; $try"
say "all forms install and work"
