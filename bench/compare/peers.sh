#!/bin/sh
# Does what kas does with the tools there were before it, as fast as we can make them do it:
#
#   peers.sh VMLINUX MODULES OUT
#
# Copies of the modules that have aliases go to OUT/modules, the list of vmlinux to OUT/vmlinux.syms. The
# last line counts the aliases. Each tool is started as rarely as its command line allows: llvm-nm for many
# files at once, eu-addr2line once an object with all its addresses, objcopy once a module with all its
# aliases. The pipeline does less than kas: no aliases named after the unit for functions in headers, no
# tables, no proof that the result is right.
set -eu
export LC_ALL=C

vmlinux=$1
modules=$2
out=$3
work=$out/objects
mkdir -p "$work"

# Every defined symbol with its section, which only the System V format has. Each batch writes its own file:
# two processes that write to one pipe would mix their lines.
{ echo "$vmlinux"; find "$modules" -name '*.ko' -type f; } | xargs -P 2 -n 64 sh -c '
	work=$1
	shift
	exec llvm-nm-19 -p -U --format=sysv "$@" >"$work/nm.$$" 2>>"$work/nm.err"' nm "$work"

# Functions that share their name with another symbol. For each object that has some, N.rows lists them and
# N.addresses has the input of eu-addr2line; the list of objects has the number and the path.
#
# vmlinux has addresses. In a module, which is relocatable, eu-addr2line needs one section a process (-j) or a
# symbol: the function itself or, where the module has several of that name, the offset from another symbol
# of the same section. It warns that such an offset is outside of that symbol, and answers correctly.
cat "$work"/nm.[0-9]* | awk -F ' *[|] *' -v vmlinux="$vmlinux" -v work="$work" '
	function number(hex,   n, i) {
		for (i = 1; i <= length(hex); i++)
			n = 16 * n + index("0123456789abcdef", substr(hex, i, 1)) - 1
		return n
	}
	/^Symbols from / { file = substr($0, 14, length($0) - 14); next }
	NF < 7 || $3 ~ /^[aNn?]$/ { next }
	{
		count[$1]++
		if ($3 !~ /^[tTwW]$/ || $7 !~ /text/)
			next
		here[file, $1]++
		n++
		files[n] = file; names[n] = $1; values[n] = $2; types[n] = $3; sections[n] = $7
	}
	END {
		for (i = 1; i <= n; i++) # for each section a symbol with a name of its own
			if (here[files[i], names[i]] == 1 && !((files[i], sections[i]) in anchor))
				anchor[files[i], sections[i]] = i
		for (i = 1; i <= n; i++) {
			f = files[i]
			if (count[names[i]] < 2 || names[i] ~ /^__pfx_|^__cfi_|^\.L|^(init|cleanup)_module$/)
				continue
			if (f != vmlinux && sections[i] ~ /^\.(init|exit)/)
				continue
			a = anchor[f, sections[i]]
			if (f == vmlinux)
				address = "0x" values[i]
			else if (here[f, names[i]] == 1)
				address = names[i]
			else if (a)
				address = sprintf("%s%+d", names[a], number(values[i]) - number(values[a]))
			else
				continue
			if (f != before) { # the symbols of a file come in one piece
				close(work "/" object ".rows")
				close(work "/" object ".addresses")
				print ++object, f
				before = f
			}
			print object, f, names[i], sections[i], values[i], types[i] >(work "/" object ".rows")
			print address >(work "/" object ".addresses")
		}
	}' >"$work/objects"

xargs -P 2 -L 1 sh -c '
	exec eu-addr2line -e "$3" <"$1/$2.addresses" >"$1/$2.lines" 2>>"$1/addr2line.err"' addr2line "$work" <"$work/objects"

# Aliases, and for each module a file of options for objcopy. The build host's path is cut off as Debian's
# build lays it out. A number distinguishes symbols that would get the same alias.
awk -v vmlinux="$vmlinux" -v modules="$modules/" -v out="$out" -v work="$work" '
	{ # one object
		rows = work "/" $1 ".rows"
		lines = work "/" $1 ".lines"
		while ((getline <rows) > 0 && (getline location <lines) > 0)
			name(location)
		close(rows)
		close(lines)
	}
	function name(location,   part, alias, path, target) { # a row: object, path, symbol, section, value, type
		if (location ~ /^\?\?/)
			return
		sub(/^.*\/build_[^\/]*\//, "", location)
		sub(/^\.\//, "", location)
		split(location, part, ":")
		alias = part[1] "_" part[2]
		gsub(/[^A-Za-z0-9]/, "_", alias)
		alias = $3 "@" alias
		if (seen[alias]++)
			alias = alias "_" seen[alias]
		total++
		if ($2 == vmlinux) {
			print $5, $6, $3, alias >(work "/vmlinux.aliases")
			return
		}
		if ($1 != before) {
			if (before)
				close(work "/" before ".options")
			before = $1
			path = $2
			target = out "/modules/" substr(path, length(modules) + 1)
			print "@" work "/" $1 ".options", path, target ".kas" >(work "/rewrite")
			sub(/\/[^\/]*$/, "", target)
			if (!(target in folder))
				print target >(work "/folders")
			folder[target]
		}
		printf "--add-symbol %s=%s:0x%s,%s,function\n", alias, $4, $5, $6 == "t" ? "local" : "global" >(work "/" $1 ".options")
	}
	END { print total+0 >(work "/total") }' "$work/objects"
touch "$work/vmlinux.aliases" "$work/folders" "$work/rewrite"

# GNU objcopy: llvm-objcopy writes a local symbol after the global ones with a wrong sh_info.
xargs -r mkdir -p <"$work/folders"
xargs -r -P 2 -L 1 objcopy <"$work/rewrite"

llvm-nm-19 -n "$vmlinux" | awk '
	NR == FNR { alias[$1, $3] = $1 " " $2 " " $4; next }
	{ print }
	($1, $3) in alias { print alias[$1, $3] }' "$work/vmlinux.aliases" - >"$out/vmlinux.syms"

echo "$(cat "$work/total") aliases, $(wc -l <"$work/objects") objects, $(wc -l <"$work/rewrite") modules written"
