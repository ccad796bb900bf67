#!/bin/sh
# Builds small kernels with and without the hooks of kas, boots them under qemu and checks what the
# running kernel shows:
#
#   kbuild/lab/lab.sh all [KIND...]     all steps except fresh, in order, for these kernels or all
#   kbuild/lab/lab.sh deps KIND...      install the tools on Debian 12
#   kbuild/lab/lab.sh sources KIND...   unpack the kernel's sources
#   kbuild/lab/lab.sh config KIND...    configure the kernel
#   kbuild/lab/lab.sh build KIND...     build everything without hooks
#   kbuild/lab/lab.sh off KIND...       link again with the hooks switched off: nothing may differ
#   kbuild/lab/lab.sh kas KIND...       link again with the hooks
#   kbuild/lab/lab.sh fresh KIND...     build everything with the hooks, in a new tree
#   kbuild/lab/lab.sh initrd KIND...    make the initial RAM disks
#   kbuild/lab/lab.sh boot KIND...      boot the kernel without aliases and the one with aliases
#   kbuild/lab/lab.sh check KIND...     check the files and the boot logs of both
#   kbuild/lab/lab.sh later KIND...     build a module with a name of the kernel, boot it in both
#                                       kernels, and probe
#   kbuild/lab/lab.sh option KIND...    add CONFIG_KALLSYMS_ALIAS to the sources, build with it, boot and
#                                       check; switch it off and remove it: nothing may differ
#   kbuild/lab/lab.sh debian            do the same in Debian's installed kernel, with its debug and
#                                       headers packages
#   kbuild/lab/lab.sh table [KIND...]   print the results so far, in Markdown
#
# A KIND is VERSION-FLAVOUR, for example 6.12-gcc or 7.3-arm64; for "all" also debian. 7.3-gcc-small has
# fewer subsystems and modules and takes half of the time. A step first runs
# the steps before it that are not done. It leaves a stamp in KAS_LAB/KIND.lab and is skipped from then
# on, until the program or the files of the lab that it uses change. To repeat it, remove its stamp. The
# steps after it are then repeated, too.
#
#   KAS_LAB      folder for everything: 1 GB per kernel, and 1.6 GB for the sources of a version
#   KAS_PROGRAM  the kas to test
#   JOBS         number of jobs for make
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
lab=${KAS_LAB:-$root/.cache/lab}
mkdir -p "$lab"
lab=$(cd "$lab" && pwd)
program=${KAS_PROGRAM:-$root/bin/kas}
jobs=${JOBS:-$(nproc)}
steps='sources config build off kas initrd boot check later option'
kinds='6.12-gcc 6.12-clang 6.12-thin 6.12-lto 6.12-arm64 7.3-gcc 7.3-clang 7.3-arm64 7.3-rust-small 6.1-gcc 6.1-clang 6.1-arm64'

# Two builds that are compared must not differ by builder or time.
export KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 2026' KBUILD_BUILD_USER=lab KBUILD_BUILD_HOST=lab KBUILD_BUILD_VERSION=1
export LC_ALL=C
# The scripts of make sbom must leave nothing in the sources, which are compared.
export PYTHONDONTWRITEBYTECODE=1
# These change what the hooks and kbuild do.
unset KAS KAS_CONFIG KAS_PROGRAM ARCH CROSS_COMPILE LLVM

die() {
	echo "lab: $*" >&2
	exit 1
}

say() { echo "lab: $*"; }

# kind KIND: sets version, flavour, the tree to build in, and the arguments for make and qemu.
kind() {
	kind=$1 version=${1%%-*} flavour=${1#*-} small=
	case $flavour in
	*-small) flavour=${flavour%-small} small=1 ;;
	esac
	tree=$lab/$kind unpacked=$lab/src/$version src=$lab/src/$kind
	qemu="qemu-system-x86_64 -M pc" console=ttyS0 image=arch/x86/boot/bzImage foreign=
	case $flavour in
	gcc) make="ARCH=x86_64" ;;
	clang | thin | lto) make="ARCH=x86_64 LLVM=-19" ;;
	rust) make="ARCH=x86_64 LLVM=-19 RUSTC=/usr/bin/rustc HOSTRUSTC=/usr/bin/rustc BINDGEN=$lab/unpacked/bindgen/run" ;;
	arm64)
		make="ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu-" foreign=arm64
		qemu="qemu-system-aarch64 -M virt" console=ttyAMA0 image=arch/arm64/boot/Image
		;;
	*) die "unknown flavour in $kind: use gcc, clang, thin, lto, rust, arm64" ;;
	esac
	archive=/usr/src/linux-source-$version.tar.xz
	case $version in
	6.1 | 6.12) ;;
	7.3)
		archive=$lab/unpacked/source-7.3$archive
		make="$make PAHOLE=$lab/unpacked/pahole/run"
		;;
	*) die "unknown version in $kind: use 6.1, 6.12 or 7.3" ;;
	esac
	mkdir -p "$tree.lab"
}

# inputs STEP: prints what a step depends on besides the steps before it.
inputs() {
	case $1 in
	config) config ;;
	off | kas) cat "$program" "$root/kbuild/hook.sh" ;;
	initrd | boot | check | later | option | debian)
		cat "$program" "$root/kbuild/hook.sh" "$here/init" "$here"/later/* "$here"/modules/*
		;;
	esac
}

# once STEP: runs a step of the current kernel, unless its stamp says that it ran on these inputs. Then
# the steps after it are not done any more.
once() {
	digest=$(inputs "$1" | sha256sum)
	[ "$(cat "$tree.lab/$1.done" 2>/dev/null)" != "$digest" ] || return 0
	say "$kind: $1"
	past=
	for each_step in $steps; do
		[ -z "$past" ] || rm -f "$tree.lab/$each_step.done"
		[ "$each_step" != "$1" ] || past=1
	done
	"do_$1"
	echo "$digest" >"$tree.lab/$1.done"
}

# timed FILE COMMAND...: writes the command's output to FILE.log, and its elapsed, user and system
# seconds to FILE.
timed() {
	timed_file=$1
	shift
	/usr/bin/time -o "$timed_file.new" -f '%e %U %S' "$@" >"$timed_file.log" 2>&1 || {
		tail -n 20 "$timed_file.log" | cut -c 1-300 >&2
		die "$kind: failed: see $timed_file.log"
	}
	mv "$timed_file.new" "$timed_file"
}

# plain FILE TARGET...: runs make without hooks. $make has several words.
plain() {
	plain_file=$1
	shift
	# shellcheck disable=SC2086
	timed "$plain_file" make -C "$src" O="$tree" $make -j"$jobs" "$@"
}

# hooked FILE ON TARGET...: runs make with hooks. ON=0 switches them off.
hooked() {
	hooked_file=$1 on=$2
	shift 2
	mkdir -p "$lab/bin"
	ln -sf "$program" "$lab/bin/kas"
	ln -sf "$root/kbuild/hook.sh" "$lab/bin/kas-nm"
	ln -sf "$root/kbuild/hook.sh" "$lab/bin/kas-ld"
	# shellcheck disable=SC2086
	timed "$hooked_file" env KAS="$on" PATH="$lab/bin:$PATH" make -C "$src" O="$tree" $make NM=kas-nm LD=kas-ld -j"$jobs" "$@"
}

# packages KIND...: prints the packages that these kernels need.
packages() {
	echo gcc libc6-dev make flex bison libelf-dev libssl-dev openssl bc kmod cpio dwarves zstd xz-utils time perl \
		python3 rsync binutils busybox-static
	for each in "$@"; do
		case $each in
		6*) echo "linux-source-${each%%-*}" ;;
		esac
		case $each in
		*-clang* | *-thin* | *-lto*) echo clang-19 lld-19 llvm-19 ;;
		*-rust*) echo clang-19 lld-19 llvm-19 libclang1-19 rustc-web rust-web-src ;;
		esac
		case $each in
		*-arm64*) echo gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-system-arm ;;
		*) echo qemu-system-x86 ;;
		esac
	done
}

do_deps() {
	sudo=
	[ "$(id -u)" = 0 ] || sudo=sudo
	$sudo apt-get -q update
	# shellcheck disable=SC2046
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $(packages "$@")
}

# unpack NAME ARCH SUITE PACKAGE...: unpacks packages of another architecture or suite into the folder
# unpacked/NAME of the lab. They are not installed, and the package lists are the lab's own: those of the
# machine do not change. The suite - is the machine's.
unpack() {
	[ ! -d "$lab/unpacked/$1" ] || return 0
	(
		to=$lab/unpacked/$1 arch=$2 suite=$3
		apt=$lab/apt-$arch-$suite wanted=$lab/apt-$arch-$suite/$1
		shift 3
		wants=$*
		rm -rf "$wanted" "$to.unpacking"
		mkdir -p "$wanted" "$to.unpacking"
		. "$root/bench/apt.sh"
		apt_lists "$apt" "$arch" "$suite"
		cd "$wanted"
		# shellcheck disable=SC2086
		apt-get -q -c "$apt/apt.conf" download $wants
		for deb in *.deb; do
			dpkg-deb -x "$deb" "$to.unpacking"
		done
		rm -rf "$wanted"
		mv "$to.unpacking" "$to"
	) >&2
}

# newer NAME PACKAGE...: unpacks a program and its libraries from Debian 13, and makes a script that runs
# it with them.
newer() {
	unpack "$1" "$(dpkg --print-architecture)" trixie "$@" libc6
	cat >"$lab/unpacked/$1/run" <<-END
		#!/bin/sh
		usr=\$(dirname "\$0")/usr
		exec "\$usr"/lib/*/ld-linux-*.so.? --library-path "\$(echo "\$usr"/lib/*-linux-gnu):/usr/lib/llvm-19/lib" "\$usr/bin/$1" "\$@"
	END
	chmod 755 "$lab/unpacked/$1/run"
}

# Each kernel has the sources of its version in a folder of its own, as hard links, since the option
# changes some of them. kas and make never write into a file that is there: they rename a new one. All
# is read-only, because every build uses O=.
do_sources() {
	# Debian 12 has pahole 1.24, which cannot write the BTF of 7.3, and bindgen 0.60; 7.3 needs 0.71.
	[ "$version" != 7.3 ] || newer pahole libbpf1 libdw1t64 libelf1t64 zlib1g liblzma5 libbz2-1.0 libzstd1
	[ "$flavour" != rust ] || newer bindgen libgcc-s1
	[ -d "$unpacked" ] || {
		[ "$version" != 7.3 ] || unpack source-7.3 "$(dpkg --print-architecture)" trixie-backports linux-source-7.3
		rm -rf "$unpacked.unpacking"
		mkdir -p "$unpacked.unpacking"
		tar -C "$unpacked.unpacking" --strip-components=1 -xf "$archive"
		chmod -R a-w "$unpacked.unpacking"
		chmod u+w "$unpacked.unpacking"
		mv "$unpacked.unpacking" "$unpacked"
		chmod u-w "$unpacked"
	}
	link_sources
}

link_sources() {
	[ ! -e "$src" ] || find "$src" -type d -exec chmod u+w {} +
	rm -rf "$src"
	cp -al "$unpacked" "$src"
}

# config: prints the configuration of the current kernel.
config() {
	arch=x86_64
	[ "$flavour" != arm64 ] || arch=arm64
	set -- common.config $arch.config
	[ -n "$small" ] || set -- "$@" modules.config
	[ -n "$small$foreign" ] || set -- "$@" modules-x86_64.config
	case $flavour in
	thin | lto | rust) set -- "$@" "$flavour.config" ;;
	esac
	case $kind in
	*-small) ;;
	7.*) set -- "$@" versions.config ;;
	esac
	case $kind in
	6.12-gcc) set -- "$@" dist.config ;;
	7.3-gcc) set -- "$@" dist.config bpf.config ibt.config ;;
	7.3-clang | 7.3-clang-small) set -- "$@" cfi.config ibt.config ;;
	esac
	(cd "$here" && cat "$@")
}

do_config() {
	mkdir -p "$tree"
	config >"$tree.lab/config"
	# shellcheck disable=SC2086
	make -C "$src" O="$tree" $make -s KCONFIG_ALLCONFIG="$tree.lab/config" allnoconfig >"$tree.lab/config.log" 2>&1 ||
		die "$kind: see $tree.lab/config.log"
	# make drops an option silently if this version lacks it or something that it depends on.
	grep -E '^CONFIG' "$tree.lab/config" | while read -r line; do
		grep -qxF "$line" "$tree/.config" || echo "$line"
	done >"$tree.lab/config.ignored"
	[ ! -s "$tree.lab/config.ignored" ] || say "$kind: options dropped:" $(cat "$tree.lab/config.ignored")
}

# keep FOLDER MAKE...: keeps what is compared and booted later: the kernel, its symbols, the installed
# modules and those of the lab. MAKE is plain or hooked with the arguments before the targets.
keep() {
	kept=$tree.lab/$1
	shift
	rm -rf "$kept"
	mkdir -p "$kept/modules"
	cp "$tree/vmlinux" "$tree/System.map" "$tree/$image" "$kept/"
	# shellcheck disable=SC2046
	(cd "$tree" && nm $(sed 's/\.o$/.ko/' modules.order)) 2>/dev/null | sed -n 's/.* \([^ ]*@.*\)/\1/p' | sort >"$kept/ko.aliases"
	# The newest kallsyms object is the one in vmlinux.
	cp "$(ls -t "$tree"/.tmp_vmlinux*kallsyms*.o | head -n 1)" "$kept/kallsyms.o"
	cp "$here"/modules/* "$kept/modules/"
	"$@" M="$kept/modules" modules
	"$@" INSTALL_MOD_PATH="$kept/installed" INSTALL_MOD_STRIP=1 modules_install
	"$@" INSTALL_MOD_PATH="$kept/installed" INSTALL_MOD_STRIP=1 M="$kept/modules" modules_install
}

# sums: prints the digests of what make built.
sums() {
	# shellcheck disable=SC2046
	(cd "$tree" && sha256sum vmlinux System.map "$image" $(sed 's/\.o$/.ko/' modules.order))
}

# same_as_without WHAT: ends the lab if a file differs from the one that was built without kas.
same_as_without() {
	sums >"$tree.lab/sums"
	diff "$tree.lab/without/sums" "$tree.lab/sums" || die "$kind: these files differ $1"
	say "$kind: $(wc -l <"$tree.lab/sums") files have the same bytes $1"
}

# sbom SIDE [VARIABLE]: keeps what make sbom, new in 7.x, says and the names in its documents. That of
# 7.3 fails with LTO, with kas and without.
sbom() {
	has_sbom || return 0
	sbom_side=$1
	shift
	rm -f "$tree"/sbom-*.spdx.json
	(plain "$tree.lab/sbom.$sbom_side" "$@" sbom) || say "$kind: make sbom failed $sbom_side"
	for document in source build; do
		cat "$tree/sbom-$document.spdx.json" 2>/dev/null | grep -o '"name": *"[^"]*"' | sort -u >"$tree.lab/sbom.$sbom_side.$document"
	done
}

has_sbom() { grep -q '^sbom:' "$src/Makefile"; }

do_build() {
	plain "$tree.lab/build" all
	keep without plain "$tree.lab/install"
	sums >"$tree.lab/without/sums"
	sbom without
}

# Removes what links make. What is compiled stays.
forget_links() {
	find "$tree" \( -name '*.ko' -o -name '*.kas' -o -name vmlinux -o -name vmlinux.unstripped -o -name '.tmp_vmlinux*' \) -type f -delete
}

# The first make with hooks links everything whose command names NM or LD. The second is the one whose
# time is compared with that of kas.
do_off() {
	# If do_option was interrupted, the option is still there.
	! grep -q KALLSYMS_ALIAS "$src/init/Kconfig" || {
		link_sources
		sed -i /KALLSYMS_ALIAS/d "$tree/.config"
	}
	hooked "$tree.lab/switch" 0 all
	forget_links
	hooked "$tree.lab/off" 0 all
	same_as_without 'with the hooks switched off'
}

do_kas() {
	forget_links
	hooked "$tree.lab/kas" 1 all
	keep with hooked "$tree.lab/install" 1
}

# Builds everything with the hooks in a new tree, to measure its time and to check that the aliases are
# the same as after linking a finished tree again.
do_fresh() {
	finished=$tree
	tree=$lab/$kind.fresh
	rm -rf "$tree"
	mkdir -p "$tree"
	cp "$finished/.config" "$tree/.config"
	hooked "$finished.lab/fresh" 1 olddefconfig all
	cmp "$tree/System.map" "$finished.lab/with/System.map" || die "$kind: a fresh build with the hooks has another System.map"
	rm -rf "$tree"
	tree=$finished
}

# static_busybox: prints the path of a busybox for the kernel's machine.
static_busybox() {
	[ -n "$foreign" ] || {
		echo /bin/busybox
		return
	}
	unpack "busybox-$foreign" "$foreign" - busybox-static
	echo "$lab/unpacked/busybox-$foreign/bin/busybox"
}

do_initrd() {
	initrd without
	initrd with
}

# initrd SIDE: makes the initial RAM disk with the modules of that side.
initrd() {
	program_busybox=$(static_busybox)
	tmp=$tree.lab/initrd
	rm -rf "$tmp"
	mkdir -p "$tmp/bin" "$tmp/lib"
	cp "$program_busybox" "$tmp/bin/"
	ln -s busybox "$tmp/bin/sh"
	cp "$here/init" "$tmp/init"
	chmod 755 "$tmp/init"
	cp -r "$tree.lab/$1/installed/lib/modules" "$tmp/lib/"
	rm -f "$tmp"/lib/modules/*/build "$tmp"/lib/modules/*/source
	(cd "$tmp" && find . | cpio --quiet -o -H newc | gzip -1) >"$tree.lab/$1/initrd.gz"
	rm -rf "$tmp"
}

do_boot() {
	boot without
	boot with
}

# boot SIDE: boots the kernel of that side.
boot() {
	(
		cd "$tree.lab/$1"
		# shellcheck disable=SC2086
		timeout 600 $qemu -accel tcg -cpu max -m 512 -smp 2 -nodefaults -display none -no-reboot -serial stdio \
			-kernel "${image##*/}" -initrd initrd.gz -append "console=$console panic=-1 loglevel=3" </dev/null |
			tr -d '\r' >boot.log
		grep -q '^LAB: end' boot.log
	) || die "$kind: the boot did not finish: see $tree.lab/$1/boot.log"
}

# expect TEXT COMMAND...: prints whether the command succeeds.
expect() {
	what=$1
	shift
	if "$@" >"$tree.lab/expect.log" 2>&1; then
		echo "ok   $what"
	else
		echo "FAIL $what"
		sed 's/^/     /' "$tree.lab/expect.log" | head -n 10
	fi
}

# value KEY SIDE: prints the value that the kernel of that side printed.
value() { sed -n "s/^LAB: $1 //p" "$tree.lab/$2/boot.log" | head -n 1; }
said() { grep -qE "^LAB: $1" "$tree.lab/$aliased/boot.log"; }
same_lines() {
	for side in without "$aliased"; do
		grep "^$1" "$tree.lab/$side/boot.log" >"$tree.lab/$side/lines" || :
	done
	diff "$tree.lab/without/lines" "$tree.lab/$aliased/lines"
}
no() { ! "$@"; }
aliases() { grep @ "$1" || :; }

# checks SIDE LOG: the checks of the kernel with aliases on that side. LOG is that of its make.
checks() {
	aliased=$1
	w=$tree.lab/without k=$tree.lab/$aliased
	expect 'build log: no inconsistent kallsyms data' no grep -i inconsistent "$2"
	sed 's/^[^ ]* //' "$w/System.map" >"$w/names"
	grep -v @ "$k/System.map" | sed 's/^[^ ]* //' >"$k/names"
	expect 'System.map: without aliases, the names and order of the build without kas' cmp "$w/names" "$k/names"
	# What follows the tables of kallsyms, .init.text, may move with their size.
	for side in without "$aliased"; do
		awk '/ _etext$/ { exit } $3 !~ /@/' "$tree.lab/$side/System.map" >"$tree.lab/$side/names"
	done
	expect "System.map: none of the $(wc -l <"$w/names") symbols up to _etext moved" cmp "$w/names" "$k/names"

	# kas run reads the final vmlinux and its own debugging information: it must find the same aliases.
	sed 's/\.ko$/.o/' "$tree/modules.order" >"$tree/lab.order"
	cat >"$tree.lab/run.yaml" <<-END
		version: 1
		out: run
		builds:
		  - name: lab
		    vmlinux: $aliased/vmlinux
		    modules: ../$kind/lab.order
	END
	expect 'kas run over the final vmlinux' "$program" run "$tree.lab/run.yaml"
	aliases "$tree.lab/run/lab/vmlinux.syms" >"$k/run.aliases"
	aliases "$k/System.map" >"$k/map.aliases"
	expect "System.map: its $(wc -l <"$k/map.aliases") aliases are those of the final vmlinux's DWARF" diff "$k/run.aliases" "$k/map.aliases"
	awk -F'\t' 'NR > 1 && $3 != "vmlinux" { print $1 }' "$tree.lab/run/lab/aliases.tsv" | sort >"$k/run.aliases"
	expect "modules: their $(wc -l <"$k/ko.aliases") aliases are those that the run finds" diff "$k/run.aliases" "$k/ko.aliases"
	expect 'System.map: the two load_elf_binary of one line, by unit' grep -q ' load_elf_binary@fs_binfmt_elf_c_.*compat_binfmt_elf_c_' "$k/System.map"

	expect 'boot: no error' no grep '^ERR:' "$k/boot.log"
	expect 'boot: the lines that must not differ are as without kas' same_lines SAME:
	expect 'boot: duplicates have the same addresses and order as without kas' same_lines DUP:
	expect "kallsyms: aliases of vmlinux at their originals: $(value aliases_vmlinux "$aliased")" said 'aliases_vmlinux [1-9]'
	expect "kallsyms: aliases of loaded modules: $(value aliases_modules "$aliased")" said 'aliases_modules [1-9]'
	expect 'no alias without kas' grep -q '^LAB: aliases_vmlinux 0$' "$w/boot.log"
	# 6.1 returns EADDRNOTAVAIL, 6.12 EINVAL. Both write the reason to error_log.
	case $flavour in
	lto) ;; # the linker numbers the functions of vmlinux, so no two share a name
	*) expect 'kprobe_events refuses name_show' said 'rtc name_show refused: .*not unique' ;;
	esac
	expect 'kprobe_events takes the alias' said 'rtc name_show@drivers_rtc[^ ]* accepted'
	expect 'its function runs: hit' said 'rtc trace hit alias: \(name_show[.0-9]*\+0x'
	expect 'stack trace: the original name' said 'rtc trace  => name_show[.0-9]*$'
	expect 'kprobes/list: the original name' said 'rtc list .* name_show[.0-9]*\+0x'
	expect 'kprobe_events refuses led_delay_on_show of two modules' said 'led led_delay_on_show refused: .*not unique'
	expect 'a module: takes the alias' said 'led led_delay_on_show@drivers_leds_trigger_ledtrig_timer[^ ]* accepted'
	expect 'a module: takes MODULE:ALIAS' said 'led ledtrig_timer:led_delay_on_show@drivers_leds_trigger_ledtrig_timer[^ ]* accepted'
	expect 'a module: hit, original names' said 'led trace hit alias: \(led_delay_on_show\+0x[^ ]* \[ledtrig_timer\]'
	# 6.1 does not count MODULE:NAME: it silently takes the first one. Full LTO numbers them.
	[ "$version" = 6.1 ] || [ "$flavour" = lto ] || expect 'two in one module: refuses MODULE:NAME' said 'twin lab_twins:value_show refused: .*not unique'
	expect 'two in one module: the alias is hit' said 'twin trace hit alias: \(value_show[.0-9]*\+0x'
	if [ "$flavour" = rust ]; then
		expect 'a function in Rust with the name of others in C: refuses the plain name' said 'rust name_show refused: .*not unique'
		expect 'a function in Rust: takes the alias' said 'rust name_show@lab_rust_rs_[0-9]* accepted'
		expect 'a function in Rust: hit, original names' said 'rust trace hit alias: \(name_show\+0x[^ ]* \[lab_rust\]'
	fi
	expect 'no trace, list or filter shows an alias' no grep -E '^LAB: [a-z]+ (trace|list) .*@|^SAME:.*@' "$k/boot.log"
	if grep -q '^CONFIG_LIVEPATCH=y' "$tree/.config"; then
		expect 'livepatch: the original by position' grep -q '^SAME: livepatch  name_show.*: patched' "$k/boot.log"
		expect 'livepatch: the first of two in a module' grep -q '^SAME: livepatch lab_twins value_show,1: patched two' "$k/boot.log"
		expect 'livepatch: the second of two in a module' grep -q '^SAME: livepatch lab_twins value_show[.0-9]*,[12]: one patched' "$k/boot.log"
	fi
	if grep -q '^CONFIG_MODULE_SIG_ALL=y' "$tree/.config"; then
		expect 'signatures: every module verified (taint)' test "$(value tainted "$aliased")" = "$(value tainted without)"
	fi
}

do_check() {
	"$program" --version >"$tree.lab/program"
	checks with "$tree.lab/kas.log" >"$tree.lab/result"
	cat "$tree.lab/result"
	! grep -q ^FAIL "$tree.lab/result" || die "$kind: failed"
}

# registry SIDE FOLDER: makes the registry of that side's kernel.
registry() {
	mkdir -p "$2"
	sed 's/\.ko$/.o/' "$tree/modules.order" >"$tree/lab.order"
	cat >"$2/run.yaml" <<-END
		version: 1
		out: .
		stages: [scan, dedupe, normalize, resolve, stats]
		builds:
		  - name: lab
		    vmlinux: $tree.lab/$1/vmlinux
		    modules: $tree/lab.order
	END
	"$program" run "$2/run.yaml" >"$2/run.log" 2>&1 || die "$kind: see $2/run.log"
}

# Builds a module after the kernel, with a function of a name that the kernel has. Both functions and
# some others are probed in the running kernel as kas probe says: with aliases and without.
do_later() {
	later=$tree.lab/later
	rm -rf "$later"
	for side in without with; do
		mkdir -p "$later/$side/module"
		cp "$here"/later/Makefile "$here"/later/*.c "$later/$side/module/"
		registry $side "$later/$side/registry"
	done
	plain "$later/without/make" M="$later/without/module" modules
	hooked "$later/with/make" 1 M="$later/with/module" modules
	static_kas
	for side in without with; do
		other=with
		[ $side = without ] || other=without
		l=$later/$side
		# One after the other: the overlay has the first when the second is registered.
		for module in "$tree.lab/$side/modules/lab_twins.ko" "$l/module/lab_shadow.ko"; do
			"$program" module "$module" -r "$l/registry/lab/symbols.kas" --update "$l/overlay.kas" \
				--vmlinux "$tree.lab/$side/vmlinux" >"$l/module.log" 2>&1 || die "$kind: see $l/module.log"
		done
		boot_later "$l" "$tree.lab/$side/${image##*/}" "$later/$other/registry/lab/symbols.kas" "$tree.lab/$side/installed/lib/modules"
	done
	checks_later >"$tree.lab/result.later"
	cat "$tree.lab/result.later"
	! grep -q ^FAIL "$tree.lab/result.later" || die "$kind: failed"
}

# The kernel's sources get the option, and the kernel is linked again with it. What is compiled stays.
# Then the option is switched off, and at last it is removed from the sources.
do_option() {
	link_sources
	find "$src" -type d -exec chmod u+w {} +
	forget_links
	"$program" kbuild install "$src" >"$tree.lab/install.log" 2>&1 || die "$kind: see $tree.lab/install.log"
	"$src/scripts/config" --file "$tree/.config" --enable KALLSYMS_ALIAS
	plain "$tree.lab/option.make" KAS_PROGRAM="$program" olddefconfig all
	keep option plain "$tree.lab/install" KAS_PROGRAM="$program"
	sbom option KAS_PROGRAM="$program"
	find "$tree" -name '*.o.kas' -type f | sed 's|.*/||' | sort >"$tree.lab/option/copies"
	initrd option
	boot option
	{
		checks option "$tree.lab/option.make.log"
		checks_option
	} >"$tree.lab/result.option"
	cat "$tree.lab/result.option"
	! grep -q ^FAIL "$tree.lab/result.option" || die "$kind: failed"

	"$src/scripts/config" --file "$tree/.config" --disable KALLSYMS_ALIAS
	plain "$tree.lab/option.off" olddefconfig all
	same_as_without 'with the option switched off'
	"$program" kbuild remove "$src" >>"$tree.lab/install.log" 2>&1 || die "$kind: see $tree.lab/install.log"
	diff -r "$unpacked" "$src" || die "$kind: the sources differ after kas kbuild remove"
	# vmlinux is linked again, because its script is newer. kbuild then adds BTF to the modules once more,
	# in place, and they get other bytes, with kas or without.
	forget_links
	plain "$tree.lab/option.removed" olddefconfig all
	same_as_without 'with the option removed'
	echo "ok   option off, and removed: $(wc -l <"$tree.lab/sums") files have the bytes of the build without kas" >>"$tree.lab/result.option"
}

checks_option() {
	w=$tree.lab/without k=$tree.lab/option
	expect 'the hooks make the same System.map' cmp "$tree.lab/with/System.map" "$k/System.map"
	expect 'the hooks make the same vmlinux' cmp "$tree.lab/with/vmlinux" "$k/vmlinux"
	expect 'the hooks make the same modules' diff -r "$tree.lab"/with/installed/lib/modules/*/kernel "$k"/installed/lib/modules/*/kernel
	if has_sbom; then
		# make sbom knows the purpose of a file by its suffix, and warns of others. Where it fails without
		# kas, make names the line of the Makefile, which the option moves.
		for sbom_side in without option; do
			grep -vE '[.]o[.]kas$|Summarize warnings|more instances of this warning' "$tree.lab/sbom.$sbom_side.log" |
				sed 's/Makefile:[0-9]*:/Makefile:/' >"$tree.lab/sbom.$sbom_side.words"
		done
		expect 'make sbom: the words are those of the build without kas, but warnings of the suffix .o.kas' diff "$tree.lab/sbom.without.words" "$tree.lab/sbom.option.words"
		expect "make sbom: the same $(wc -l <"$tree.lab/sbom.without.source") sources" diff "$tree.lab/sbom.without.source" "$tree.lab/sbom.option.source"
		[ ! -s "$tree.lab/sbom.without.build" ] || expect "make sbom: all $(wc -l <"$k/copies") copies" sh -c "grep -o '[^\"/]*[.]o[.]kas' '$tree.lab/sbom.option.build' | sort | diff - '$k/copies'"
	fi
}

# boot_later FOLDER KERNEL OTHER [MODULES]: boots a kernel with the module, registry and overlay in
# FOLDER. OTHER is the registry of another kernel, MODULES the folder of this kernel's modules.
boot_later() {
	program_busybox=$(static_busybox)
	tmp=$tree.lab/initrd
	rm -rf "$tmp"
	mkdir -p "$tmp/bin" "$tmp/lib" "$tmp/later/kernel" "$tmp/later/overlay" "$tmp/other"
	cp "$program_busybox" "$later/kas" "$tmp/bin/"
	ln -s busybox "$tmp/bin/sh"
	cp "$here/later/init" "$tmp/init"
	chmod 755 "$tmp/init"
	[ -z "${4:-}" ] || cp -r "$4" "$tmp/lib/"
	rm -f "$tmp"/lib/modules/*/build "$tmp"/lib/modules/*/source
	cp "$1/module/lab_shadow.ko" "$tmp/later/"
	cp "$1/registry/lab/symbols.kas" "$tmp/later/kernel/"
	cp "$1/overlay.kas" "$tmp/later/overlay/symbols.kas"
	cp "$3" "$tmp/other/"
	(cd "$tmp" && find . | cpio --quiet -o -H newc | gzip -1) >"$1/initrd.gz"
	rm -rf "$tmp"
	# shellcheck disable=SC2086
	timeout 600 $qemu -accel tcg -cpu max -m 1024 -smp 2 -nodefaults -display none -no-reboot -serial stdio \
		-kernel "$2" -initrd "$1/initrd.gz" -append "console=$console panic=-1 loglevel=3" </dev/null |
		tr -d '\r' >"$1/boot.log"
	grep -q '^LAB: end' "$1/boot.log" || die "$kind: the boot did not finish: see $1/boot.log"
}

# static_kas: builds kas for the kernel's machine.
static_kas() {
	goarch=amd64
	[ "$foreign" != arm64 ] || goarch=arm64
	(cd "$root" && CGO_ENABLED=0 GOARCH=$goarch go build -trimpath -ldflags='-s -w' -o "$later/kas" ./cmd/kas)
}

# Debian's own kernel, which has no aliases. Its registry is made from its debug package, the module is
# built with its headers package, and KASLR moves it.
debian() {
	kind=debian tree=$lab/debian foreign= later=$lab/debian.lab/later
	qemu="qemu-system-x86_64 -M pc" console=ttyS0
	mkdir -p "$tree.lab"
	once debian
}

do_debian() {
	corpus=${KAS_CACHE:-$root/.cache}/corpus
	for c in cloud-amd64 cloud-amd64-old headers image; do
		"$root/bench/corpus.sh" $c
	done
	corpus=$(cd "$corpus" && pwd)
	rm -rf "$later"
	for side in without other; do
		from=$corpus/cloud-amd64/usr/lib/debug
		[ $side = without ] || from=$corpus/cloud-amd64-old/usr/lib/debug
		mkdir -p "$later/$side/registry"
		cat >"$later/$side/registry/run.yaml" <<-END
			version: 1
			out: .
			stages: [scan, dedupe, normalize, resolve, stats]
			builds:
			  - name: lab
			    vmlinux: $from/boot/vmlinux-*
			    modules: $from/lib/modules/*/kernel
		END
		"$program" run "$later/$side/registry/run.yaml" >"$later/$side/run.log" 2>&1 || die "debian: see $later/$side/run.log"
	done
	l=$later/without
	mkdir -p "$l/module"
	cp "$here"/later/Makefile "$here"/later/*.c "$l/module/"
	# The Makefile of the headers names the common headers by their path when installed.
	make -C "$corpus"/headers/usr/src/linux-headers-*-cloud-amd64 -f "$(echo "$corpus"/headers/usr/src/linux-headers-*-common)/Makefile" \
		M="$l/module" modules >"$l/make.log" 2>&1 || die "debian: see $l/make.log"
	"$program" module "$l/module/lab_shadow.ko" -r "$l/registry/lab/symbols.kas" --update "$l/overlay.kas" \
		--vmlinux "$corpus"/cloud-amd64/usr/lib/debug/boot/vmlinux-* >"$l/module.log" 2>&1 || die "debian: see $l/module.log"
	static_kas
	boot_later "$l" "$corpus"/image/boot/vmlinuz-* "$later/other/registry/lab/symbols.kas"
	side=without log=$l/boot.log
	"$program" --version >"$tree.lab/program"
	{
		checks_of_both
		expect 'no name of the running kernel is an alias' no grep -E '^LAB: [a-z]+ event .*@' "$log"
		expect 'the kernel was moved (KASLR)' grep -qE '^LAB: slide 0x[0-9a-f]*[1-9]' "$log"
	} >"$tree.lab/result"
	cat "$tree.lab/result"
	! grep -q ^FAIL "$tree.lab/result" || die 'debian: failed'
}

# checks_of_both: the checks of a kernel with the module.
checks_of_both() {
	# With IBT, kprobes puts its breakpoint behind the first instruction of a function, endbr64.
	entry='0x0'
	! grep -qs '^CONFIG_X86_KERNEL_IBT=y' "$tree/.config" || entry='0x[04]'
	was=$(sed -n 's/^kas: version_proc_show of vmlinux was unique; it is now also //p' "$l/module.log")
	expect "$side: kas module reports that version_proc_show was unique: $was" \
		sh -c "echo '$was' | grep -q '^version_proc_show@fs_proc_version_c_[0-9]*\$'"
	expect "$side: two functions of that name" test "$(grep -cE '^LAB: kallsyms .* version_proc_show(	|$)' "$log")" = 2
	# 6.1 before 6.1.60 takes the first one silently. Since 7.3 vmlinux's comes before those of modules:
	# number_of_same_symbols in kernel/trace/trace_kprobe.c.
	case ${version:-6.1} in
	6.*) expect "$side: kprobe_events refuses the plain name" grep -q '^LAB: plain refused' "$log" ;;
	*) expect "$side: kprobe_events takes the plain name for vmlinux's function" grep -q '^LAB: plain accepted' "$log" ;;
	esac
	expect "$side: the late alias: vmlinux's function is hit" grep -qE "^LAB: old hit old: \(version_proc_show(\.[0-9]+)?\+$entry/0x[0-9a-f]+\)" "$log"
	expect "$side: the late alias: its return" grep -qE '^LAB: return hit return: \([^ ]+ <- version_proc_show(\.[0-9]+)?\)' "$log"
	expect "$side: the module's function is hit" grep -qE "^LAB: new hit new: \(version_proc_show\+$entry/0x[0-9a-f]+ \[lab_shadow\]\)" "$log"
	expect "$side: a duplicate of vmlinux is hit" grep -qE "^LAB: rtc hit rtc: \(name_show(\.[0-9]+)?\+$entry/0x[0-9a-f]+\)" "$log"
	expect "$side: a unique name is probed by itself" grep -qE '^LAB: alone event p:lab/alone seq_printf' "$log"
	expect "$side: the registry of the other kernel is refused" grep -qE '^LAB: other kas: .* is from a different kernel than' "$log"
}

checks_later() {
	# Full LTO makes every name unique.
	positions='[1-9][0-9]*'
	[ "$flavour" != lto ] || positions=0
	for side in without with; do
		l=$later/$side log=$later/$side/boot.log
		checks_of_both
		expect "$side: a duplicate of two modules is hit" grep -qE "^LAB: led hit led: \(led_delay_on_show\+$entry/0x[0-9a-f]+ \[ledtrig_timer\]\)" "$log"
		if grep -q '^CONFIG_LIVEPATCH=y' "$tree/.config"; then
			expect "$side: livepatch: a duplicate of vmlinux by kas's position" grep -qE "^LAB: rtc livepatch $positions: patched" "$log"
			expect "$side: livepatch: both of two in one module" test "$(grep -cE "^LAB: twin livepatch $positions: patched" "$log")" = 2
		fi
		expect "$side: the second of two in one module is hit" grep -qE "^LAB: twin hit twin: \(value_show(\.[0-9]+)?\+$entry/0x[0-9a-f]+ \[lab_twins\]\)" "$log"
	done
	expect 'without: no name of the running kernel is an alias' no grep -E '^LAB: [a-z]+ event .*@' "$later/without/boot.log"
	[ "$flavour" = lto ] || expect 'without: of two in one module one is probed by its address' grep -qE '^LAB: twin event p:lab/twin (lab_twins:[a-z_]+\+[0-9]+|0x)' "$later/without/boot.log"
	expect 'with: aliases of the kernel are taken' grep -qE '^LAB: rtc event .*name_show@drivers_rtc_sysfs_c' "$later/with/boot.log"
	expect 'with: aliases of the module are taken' grep -qE '^LAB: new event .*version_proc_show@lab_shadow_c' "$later/with/boot.log"
}

# seconds STEP: prints the elapsed seconds of a step, and those of processors.
seconds() { [ ! -e "$tree.lab/$1" ] || awk '{ printf "%.1f (%.1f)", $1, $2 + $3 }' "$tree.lab/$1"; }
rodata() { size -A "$tree.lab/$1/kallsyms.o" | awk '$1 == ".rodata" { print $2 }'; }

# change BEFORE AFTER: prints thousands of bytes, and the difference.
change() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.1f, %+.1f", a / 1000, (b - a) / 1000 }'; }

# verdict RESULT...: prints how many checks of these files hold.
verdict() {
	(
		cd "$tree.lab"
		cat "$@" 2>/dev/null | awk '/^ok/ { n++ } /^FAIL/ { f++ } END { printf "%d hold", n; if (f) printf ", %d fail", f }'
	)
}

table() {
	echo '| kernel | modules loaded | aliases in vmlinux | in loaded modules | build, s (cpu) | with kas | link, hooks off, s (cpu) | link, kas, s (cpu) | kallsyms, kB | modules, kB | checks |'
	echo '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |'
	for k in $1; do
		if [ "$k" = debian ]; then
			tree=$lab/debian
			[ ! -e "$tree.lab/result" ] || echo "| $(sed -n 's/^LAB: release //p' "$tree.lab/later/without/boot.log") | | | | | | | | | | $(verdict result) |"
			continue
		fi
		kind "$k"
		[ -e "$tree.lab/result" ] || continue
		name="$(value release with | sed 's/-lab.*//') $flavour${small:+, small}"
		echo "| $name | $(value modules with | sed 's/ .*//') |" \
			"$(value aliases_vmlinux with) | $(value aliases_modules with) |" \
			"$(seconds build) | $(seconds fresh) | $(seconds off) | $(seconds kas) |" \
			"$(change "$(rodata without)" "$(rodata with)") |" \
			"$(change "$(value modules_bytes without)" "$(value modules_bytes with)") |" \
			"$(verdict result result.later) |"
		[ -e "$tree.lab/result.option" ] || continue
		echo "| $name, option | $(value modules option | sed 's/ .*//') |" \
			"$(value aliases_vmlinux option) | $(value aliases_modules option) |" \
			"| | | $(seconds option.make) |" \
			"$(change "$(rodata without)" "$(rodata option)") |" \
			"$(change "$(value modules_bytes without)" "$(value modules_bytes option)") |" \
			"$(verdict result.option) |"
	done
}

# upto STEP: runs the step for the current kernel, after all steps before it.
upto() {
	for each in $steps; do
		once "$each"
		[ "$each" != "$1" ] || return 0
	done
}

step=${1:-}
[ $# -eq 0 ] || shift
# shellcheck disable=SC2046
set -- $(echo "$*" | tr , ' ')
case $step in
deps) do_deps ${*:-$kinds} ;;
table) table "${*:-$kinds debian}" ;;
all)
	all=${*:-$kinds debian}
	# shellcheck disable=SC2086
	do_deps $all
	failed=
	for k in $all; do
		case $k in
		debian) set -- debian ;;
		*) set -- option "$k" ;;
		esac
		KAS_LAB=$lab KAS_PROGRAM=$program "$0" "$@" || failed="$failed $k"
	done
	table "$all"
	echo
	for k in $all; do
		echo "$(cat "$lab/$k.lab/program" 2>/dev/null || echo 'not made'): $k"
	done
	[ -z "$failed" ] || die "failed:$failed"
	;;
debian) debian ;;
fresh)
	for k in "$@"; do
		kind "$k"
		upto kas
		once fresh
	done
	;;
sources | config | build | off | kas | initrd | boot | check | later | option)
	[ $# -gt 0 ] || die "name a kernel: $kinds"
	for k in "$@"; do
		kind "$k"
		upto "$step"
	done
	;;
*) die "usage: lab.sh all|deps|sources|config|build|off|kas|fresh|initrd|boot|check|later|option|debian|table [KIND...]" ;;
esac
