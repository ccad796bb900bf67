#!/bin/sh
# install.sh KAS MAN PREFIX: installs the program, the hooks of kbuild, the manual pages of
# the folder MAN and the completions below PREFIX. For another machine's program, NATIVE is one that
# runs here.
set -eu
kas=$1 man=$2 prefix=$3
native=${NATIVE:-$kas}
install -D -m 755 "$kas" "$prefix/bin/kas"
install -m 755 "$(dirname "$0")/../kbuild/hook.sh" "$prefix/bin/kas-ld"
ln -sf kas-ld "$prefix/bin/kas-nm"
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
