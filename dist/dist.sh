#!/bin/bash
# dist.sh DIR: makes the release of this commit in DIR, for amd64 and arm64: a .tar.gz with the
# program, manual pages and completions, a .deb, an .rpm, the list of the modules in the program
# (CycloneDX), and SHA256SUMS. The bytes depend on the commit alone: dates are SOURCE_DATE_EPOCH, by
# default that of the commit. FRESH=1 compiles everything again.
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
dir=$1
go=${GO:-go}
nfpm=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.0
sbom=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export LC_ALL=C TZ=UTC CGO_ENABLED=0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags=(-trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.commit=${COMMIT:-}")

$go run -tags man ./cmd/kas man "$work/man"
$go build "${flags[@]}" -o "$work/native" ./cmd/kas
VERSION=$("$work/native" --version | cut -d ' ' -f 2)
export VERSION

rm -rf "$dir"
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
for ARCH in amd64 arm64; do
	name=kas-$VERSION-linux-$ARCH
	export ARCH TREE=$work/$ARCH
	GOARCH=$ARCH $go build ${FRESH:+-a} "${flags[@]}" -o "$work/kas-$ARCH" ./cmd/kas
	NATIVE=$work/native dist/install.sh "$work/kas-$ARCH" "$work/man" "$TREE/usr"

	mkdir "$work/$name"
	cp -r "$TREE"/usr/* README.md CHANGELOG.md SECURITY.md LICENSE docs "$work/$name"
	tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner --format=gnu \
		--mtime="@$SOURCE_DATE_EPOCH" -c "$name" | gzip -9n >"$dir/$name.tar.gz"

	gzip -9n "$TREE"/usr/share/man/man1/*
	for packager in deb rpm; do
		$go run $nfpm package --config dist/nfpm.yaml --packager $packager --target "$dir" \
			>/dev/null
	done
	$go run $sbom bin -json -noserial -notimestamp -version "v$VERSION" \
		-output "$dir/$name.cdx.json" "$work/kas-$ARCH" 2>/dev/null
done
cd "$dir"
sha256sum -- * >SHA256SUMS
