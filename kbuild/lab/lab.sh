#!/bin/sh
# Builds small kernels with and without the hooks of kas, boots them under qemu and checks what the
# running kernel shows:
#
#   kbuild/lab/lab.sh all [KIND...]     all steps except fresh, in order, for these kernels or all
#   kbuild/lab/lab.sh deps              install the tools on Debian 12
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
#   kbuild/lab/lab.sh debian            do the same in Debian's installed kernel, with its debug and
#                                       headers packages
#   kbuild/lab/lab.sh table [KIND...]   print the results so far, in Markdown
#
# A KIND is VERSION-FLAVOUR, for example 6.12-gcc or 6.1-arm64. A step first runs the steps before it
# that are not done. It leaves a stamp and is skipped from then on; to repeat it, remove its stamp.
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
kinds='6.12-gcc 6.12-clang 6.12-thin 6.12-lto 6.12-arm64 6.1-gcc 6.1-clang 6.1-arm64'

# Two builds that are compared must not differ by builder or time.
export KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 2026' KBUILD_BUILD_USER=lab KBUILD_BUILD_HOST=lab KBUILD_BUILD_VERSION=1
export LC_ALL=C
# These change what the hooks and kbuild do.
unset KAS KAS_CONFIG ARCH CROSS_COMPILE LLVM

die() {
	echo "lab: $*" >&2
	exit 1
}

say() { echo "lab: $*"; }

# kind KIND: sets version, flavour, the tree to build in, and the arguments for make and qemu.
kind() {
	kind=$1 version=${1%%-*} flavour=${1#*-}
	tree=$lab/$kind src=$lab/src/$version
	qemu="qemu-system-x86_64 -M pc" console=ttyS0 image=arch/x86/boot/bzImage foreign=
	case $flavour in
	gcc) make="ARCH=x86_64" ;;
	clang | thin | lto) make="ARCH=x86_64 LLVM=-19" ;;
	arm64)
		make="ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu-" foreign=arm64
		qemu="qemu-system-aarch64 -M virt" console=ttyAMA0 image=arch/arm64/boot/Image
		;;
	*) die "unknown flavour in $kind: use gcc, clang, thin, lto, arm64" ;;
	esac
	case $version in
	6.1 | 6.12) ;;
	*) die "unknown version in $kind: use 6.1 or 6.12" ;;
	esac
	mkdir -p "$tree.lab"
}

# once STEP: runs a step of the current kernel, unless its stamp is there.
once() {
	[ -e "$tree.lab/$1.done" ] && return
	say "$kind: $1"
	"do_$1"
	: >"$tree.lab/$1.done"
}

# timed FILE COMMAND...: writes the command's output to FILE.log, and its elapsed, user and system
# seconds to FILE.
timed() {
	timed_file=$1
	shift
	/usr/bin/time -o "$timed_file.new" -f '%e %U %S' "$@" >"$timed_file.log" 2>&1 || {
		tail -n 20 "$timed_file.log" >&2
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
	for link in kas kas-nm kas-ld; do
		ln -sf "$program" "$lab/bin/$link"
	done
	# shellcheck disable=SC2086
	timed "$hooked_file" env KAS="$on" PATH="$lab/bin:$PATH" make -C "$src" O="$tree" $make NM=kas-nm LD=kas-ld -j"$jobs" "$@"
}

do_deps() {
	sudo=
	[ "$(id -u)" = 0 ] || sudo=sudo
	$sudo apt-get -q update
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends \
		linux-source-6.1 linux-source-6.12 gcc libc6-dev make clang-19 lld-19 llvm-19 gcc-aarch64-linux-gnu \
		flex bison libelf-dev libssl-dev openssl bc kmod cpio dwarves zstd xz-utils time perl python3 rsync binutils \
		qemu-system-x86 qemu-system-arm busybox-static
}

# All kernels of a version share the sources, which are read-only: every build uses O=.
do_sources() {
	[ -d "$src" ] && return
	rm -rf "$src.unpacking"
	mkdir -p "$src.unpacking"
	tar -C "$src.unpacking" --strip-components=1 -xf "/usr/src/linux-source-$version.tar.xz"
	chmod -R a-w "$src.unpacking"
	chmod u+w "$src.unpacking"
	mv "$src.unpacking" "$src"
	chmod u-w "$src"
}

do_config() {
	mkdir -p "$tree"
	set -- common.config modules.config
	case $flavour in
	arm64) set -- "$@" arm64.config ;;
	*) set -- "$@" x86_64.config ;;
	esac
	case $kind in
	*-thin) set -- "$@" thin.config ;;
	*-lto) set -- "$@" lto.config ;;
	6.12-gcc) set -- "$@" dist.config ;;
	esac
	(cd "$here" && cat "$@") >"$tree.lab/config"
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
	# The newest kallsyms object is the one in vmlinux.
	cp "$(ls -t "$tree"/.tmp_vmlinux*kallsyms*.o | head -n 1)" "$kept/kallsyms.o"
	cp "$here"/modules/* "$kept/modules/"
	"$@" M="$kept/modules" modules
	"$@" INSTALL_MOD_PATH="$kept/installed" INSTALL_MOD_STRIP=1 modules_install
	"$@" INSTALL_MOD_PATH="$kept/installed" INSTALL_MOD_STRIP=1 M="$kept/modules" modules_install
}

do_build() {
	plain "$tree.lab/build" all
	keep without plain "$tree.lab/install"
}

# Removes what links make. What is compiled stays.
forget_links() {
	find "$tree" \( -name '*.ko' -o -name '*.kas' -o -name 'vmlinux' -o -name '.tmp_vmlinux*' \) -type f -delete
}

# The first make with hooks links everything whose command names NM or LD. The second is the one whose
# time is compared with that of kas.
do_off() {
	hooked "$tree.lab/switch" 0 all
	forget_links
	hooked "$tree.lab/off" 0 all
	for f in vmlinux System.map; do
		cmp "$tree/$f" "$tree.lab/without/$f" || die "$kind: $f differs although the hooks are off"
	done
	say "$kind: vmlinux and System.map are the same bytes with the hooks switched off"
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

# static_busybox: prints the path of a busybox for the kernel's machine. A foreign one is unpacked from
# its package, not installed, and uses package lists of its own: those of this machine do not change.
static_busybox() {
	[ -n "$foreign" ] || {
		echo /bin/busybox
		return
	}
	apt=$lab/apt-$foreign
	mkdir -p "$apt/lists/partial" "$apt/archives/partial"
	[ -e "$apt/unpacked/bin/busybox" ] || (
		set -- -q -o "APT::Architecture=$foreign" -o "APT::Architectures=$foreign" -o "APT::Sandbox::User=$(id -un)" \
			-o "Dir::State::lists=$apt/lists" -o Dir::State::status=/dev/null -o "Dir::Cache=$apt" -o "Dir::Cache::archives=$apt/archives"
		cd "$apt/archives"
		apt-get "$@" update
		apt-get "$@" download busybox-static
		dpkg-deb -x busybox-static_*.deb "$apt/unpacked"
	) >&2
	echo "$apt/unpacked/bin/busybox"
}

do_initrd() {
	program_busybox=$(static_busybox)
	for side in without with; do
		tmp=$tree.lab/initrd
		rm -rf "$tmp"
		mkdir -p "$tmp/bin" "$tmp/lib"
		cp "$program_busybox" "$tmp/bin/"
		ln -s busybox "$tmp/bin/sh"
		cp "$here/init" "$tmp/init"
		chmod 755 "$tmp/init"
		cp -r "$tree.lab/$side/installed/lib/modules" "$tmp/lib/"
		rm -f "$tmp"/lib/modules/*/build "$tmp"/lib/modules/*/source
		(cd "$tmp" && find . | cpio --quiet -o -H newc | gzip -1) >"$tree.lab/$side/initrd.gz"
	done
	rm -rf "$tmp"
}

do_boot() {
	for side in without with; do
		(
			cd "$tree.lab/$side"
			# shellcheck disable=SC2086
			timeout 300 $qemu -accel tcg -cpu max -m 512 -smp 2 -nodefaults -display none -no-reboot -serial stdio \
				-kernel "${image##*/}" -initrd initrd.gz -append "console=$console panic=-1 loglevel=3" </dev/null |
				tr -d '\r' >boot.log
			grep -q '^LAB: end' boot.log
		) || die "$kind: the boot did not finish: see $tree.lab/$side/boot.log"
	done
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
said() { grep -qE "^LAB: $1" "$tree.lab/with/boot.log"; }
same_lines() {
	for side in without with; do
		grep "^$1" "$tree.lab/$side/boot.log" >"$tree.lab/$side/lines" || :
	done
	diff "$tree.lab/without/lines" "$tree.lab/with/lines"
}
no() { ! "$@"; }
aliases() { grep @ "$1" || :; }

checks() {
	w=$tree.lab/without k=$tree.lab/with
	expect 'build log: no inconsistent kallsyms data' no grep -i inconsistent "$tree.lab/kas.log"
	sed 's/^[^ ]* //' "$w/System.map" >"$w/names"
	grep -v @ "$k/System.map" | sed 's/^[^ ]* //' >"$k/names"
	expect 'System.map: without aliases, the names and order of the build without kas' cmp "$w/names" "$k/names"
	# What follows the tables of kallsyms, .init.text, may move with their size.
	for side in without with; do
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
		    vmlinux: with/vmlinux
		    modules: ../$kind/lab.order
	END
	expect 'kas run over the final vmlinux' "$program" run "$tree.lab/run.yaml"
	aliases "$tree.lab/run/lab/vmlinux.syms" >"$k/run.aliases"
	aliases "$k/System.map" >"$k/map.aliases"
	expect "System.map: its $(wc -l <"$k/map.aliases") aliases are those of the final vmlinux's DWARF" diff "$k/run.aliases" "$k/map.aliases"
	# shellcheck disable=SC2046
	(cd "$tree" && nm $(sed 's/\.o$/.ko/' lab.order)) 2>/dev/null | sed -n 's/.* \([^ ]*@.*\)/\1/p' | sort >"$k/ko.aliases"
	awk -F'\t' 'NR > 1 && $3 != "vmlinux" { print $1 }' "$tree.lab/run/lab/aliases.tsv" | sort >"$k/run.aliases"
	expect "modules: their $(wc -l <"$k/ko.aliases") aliases are those that the run finds" diff "$k/run.aliases" "$k/ko.aliases"
	expect 'System.map: the two load_elf_binary of one line, by unit' grep -q ' load_elf_binary@fs_binfmt_elf_c_.*compat_binfmt_elf_c_' "$k/System.map"

	expect 'boot: no error' no grep '^ERR:' "$k/boot.log"
	expect 'boot: the lines that must not differ are as without kas' same_lines SAME:
	expect 'boot: duplicates have the same addresses and order as without kas' same_lines DUP:
	expect "kallsyms: aliases of vmlinux at their originals: $(value aliases_vmlinux with)" said 'aliases_vmlinux [1-9]'
	expect "kallsyms: aliases of loaded modules: $(value aliases_modules with)" said 'aliases_modules [1-9]'
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
	expect 'no trace, list or filter shows an alias' no grep -E '^LAB: [a-z]+ (trace|list) .*@|^SAME:.*@' "$k/boot.log"
	if grep -q '^CONFIG_LIVEPATCH=y' "$tree/.config"; then
		expect 'livepatch: the original by position' grep -q '^SAME: livepatch  name_show.*: patched' "$k/boot.log"
		expect 'livepatch: the first of two in a module' grep -q '^SAME: livepatch lab_twins value_show,1: patched two' "$k/boot.log"
		expect 'livepatch: the second of two in a module' grep -q '^SAME: livepatch lab_twins value_show[.0-9]*,[12]: one patched' "$k/boot.log"
	fi
	if grep -q '^CONFIG_MODULE_SIG_ALL=y' "$tree/.config"; then
		expect 'signatures: every module verified (taint)' test "$(value tainted with)" = "$(value tainted without)"
	fi
}

do_check() {
	checks >"$tree.lab/result"
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
	timeout 300 $qemu -accel tcg -cpu max -m 1024 -smp 2 -nodefaults -display none -no-reboot -serial stdio \
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
	was=$(sed -n 's/^kas: version_proc_show of vmlinux was unique; it is now also //p' "$l/module.log")
	expect "$side: kas module reports that version_proc_show was unique: $was" \
		sh -c "echo '$was' | grep -q '^version_proc_show@fs_proc_version_c_[0-9]*\$'"
	expect "$side: two functions of that name" test "$(grep -cE '^LAB: kallsyms .* version_proc_show(	|$)' "$log")" = 2
	# 6.1 before 6.1.60 takes the first one silently.
	expect "$side: kprobe_events refuses the plain name" grep -q '^LAB: plain refused' "$log"
	expect "$side: the late alias: vmlinux's function is hit" grep -qE '^LAB: old hit old: \(version_proc_show(\.[0-9]+)?\+0x0/0x[0-9a-f]+\)' "$log"
	expect "$side: the late alias: its return" grep -qE '^LAB: return hit return: \([^ ]+ <- version_proc_show(\.[0-9]+)?\)' "$log"
	expect "$side: the module's function is hit" grep -qE '^LAB: new hit new: \(version_proc_show\+0x0/0x[0-9a-f]+ \[lab_shadow\]\)' "$log"
	expect "$side: a duplicate of vmlinux is hit" grep -qE '^LAB: rtc hit rtc: \(name_show(\.[0-9]+)?\+0x0/0x[0-9a-f]+\)' "$log"
	expect "$side: a unique name is probed by itself" grep -qE '^LAB: alone event p:lab/alone seq_printf' "$log"
	expect "$side: the registry of the other kernel is refused" grep -qE '^LAB: other kas: .* is from a different kernel than' "$log"
}

checks_later() {
	for side in without with; do
		l=$later/$side log=$later/$side/boot.log
		checks_of_both
		expect "$side: a duplicate of two modules is hit" grep -qE '^LAB: led hit led: \(led_delay_on_show\+0x0/0x[0-9a-f]+ \[ledtrig_timer\]\)' "$log"
		if grep -q '^CONFIG_LIVEPATCH=y' "$tree/.config"; then
			expect "$side: livepatch: a duplicate of vmlinux by kas's position" grep -qE '^LAB: rtc livepatch [1-9][0-9]*: patched' "$log"
			expect "$side: livepatch: both of two in one module" test "$(grep -cE '^LAB: twin livepatch [12]: patched' "$log")" = 2
		fi
		expect "$side: the second of two in one module is hit" grep -qE '^LAB: twin hit twin: \(value_show(\.[0-9]+)?\+0x0/0x[0-9a-f]+ \[lab_twins\]\)' "$log"
	done
	expect 'without: no name of the running kernel is an alias' no grep -E '^LAB: [a-z]+ event .*@' "$later/without/boot.log"
	# Full LTO numbers them.
	[ "$flavour" = lto ] || expect 'without: of two in one module one is probed by its address' grep -qE '^LAB: twin event p:lab/twin (lab_twins:[a-z_]+\+[0-9]+|0x)' "$later/without/boot.log"
	expect 'with: aliases of the kernel are taken' grep -qE '^LAB: rtc event .*name_show@drivers_rtc_sysfs_c' "$later/with/boot.log"
	expect 'with: aliases of the module are taken' grep -qE '^LAB: new event .*version_proc_show@lab_shadow_c' "$later/with/boot.log"
}

# seconds STEP: prints the elapsed seconds of a step, and those of processors.
seconds() { [ ! -e "$tree.lab/$1" ] || awk '{ printf "%.1f (%.1f)", $1, $2 + $3 }' "$tree.lab/$1"; }
rodata() { size -A "$tree.lab/$1/kallsyms.o" | awk '$1 == ".rodata" { print $2 }'; }

# change BEFORE AFTER: prints thousands of bytes, and the difference.
change() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.1f, %+.1f", a / 1000, (b - a) / 1000 }'; }

table() {
	echo '| kernel | modules loaded | aliases in vmlinux | in loaded modules | build, s (cpu) | with kas | link, hooks off, s (cpu) | link, kas, s (cpu) | kallsyms, kB | modules, kB | checks |'
	echo '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |'
	for k in $1; do
		kind "$k"
		[ -e "$tree.lab/result" ] || continue
		failed=$(cat "$tree.lab"/result "$tree.lab"/result.later 2>/dev/null | grep -c ^FAIL || :)
		echo "| $(value release with | sed 's/-lab.*//') $flavour | $(value modules with | sed 's/ .*//') |" \
			"$(value aliases_vmlinux with) | $(value aliases_modules with) |" \
			"$(seconds build) | $(seconds fresh) | $(seconds off) | $(seconds kas) |" \
			"$(change "$(rodata without)" "$(rodata with)") |" \
			"$(change "$(value modules_bytes without)" "$(value modules_bytes with)") |" \
			"$(cat "$tree.lab"/result "$tree.lab"/result.later 2>/dev/null | grep -c ^ok) hold$([ "$failed" = 0 ] || echo ", $failed fail") |"
	done
}

steps='sources config build off kas initrd boot check later'

# upto STEP: runs the step for the current kernel, after all steps before it.
upto() {
	for each in $steps; do
		once "$each"
		[ "$each" != "$1" ] || return 0
	done
}

step=${1:-}
[ $# -eq 0 ] || shift
case $step in
deps) do_deps ;;
table) table "${*:-$kinds}" ;;
all)
	do_deps
	failed=
	for k in ${*:-$kinds}; do
		"$0" later "$k" || failed="$failed $k"
	done
	"$0" debian || failed="$failed debian"
	table "${*:-$kinds}"
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
sources | config | build | off | kas | initrd | boot | check | later)
	[ $# -gt 0 ] || die "name a kernel: $kinds"
	for k in "$@"; do
		kind "$k"
		upto "$step"
	done
	;;
*) die "usage: lab.sh all|deps|sources|config|build|off|kas|fresh|initrd|boot|check|later|debian|table [KIND...]" ;;
esac
