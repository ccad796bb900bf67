#!/bin/sh
# install.sh KAS MAN PREFIX: installs the program, the links that kbuild needs, the manual pages of
# the folder MAN and the completions below PREFIX. For another machine's program, NATIVE is one that
# runs here.
set -eu
kas=$1 man=$2 prefix=$3
native=${NATIVE:-$kas}
install -D -m 755 "$kas" "$prefix/bin/kas"
ln -sf kas "$prefix/bin/kas-nm"
ln -sf kas "$prefix/bin/kas-ld"
for page in "$man"/*.1; do
	install -D -m 644 "$page" "$prefix/share/man/man1/${page##*/}"
done
completion() { # SHELL FILE
	install -d "$prefix/share/${2%/*}"
	"$native" completion "$1" >"$prefix/share/$2"
}
completion bash bash-completion/completions/kas
completion zsh zsh/site-functions/_kas
completion fish fish/vendor_completions.d/kas.fish
