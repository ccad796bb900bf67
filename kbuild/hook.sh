#!/bin/sh
# hook.sh [ARGUMENTS]: installed as kas-nm and kas-ld, beside kas. kbuild starts nm and ld thousands of
# times. The script runs kas for each call that kas may change, and the real tool for all others. kas
# would pass those through, too, but a shell starts sooner.
hook=${0##*-} ours=
if [ "${KAS-}" != 0 ]; then
	case $hook in
	nm)
		for last; do :; done
		case ${last-} in *vmlinux*) ours=1 ;; esac # link-vmlinux.sh lists an image
		;;
	ld)
		for argument; do
			case $argument in *.ko | *.tmp_vmlinux* | @*) ours=1 ;; esac # of a module or an image
		done
		;;
	esac
fi
case ${1-} in --tool | --tool=* | --registry | --registry=*) ours=1 ;; esac
if [ -n "$ours" ]; then
	kas=${0%/*}/kas
	[ -x "$kas" ] || kas=kas
	exec "$kas" "$hook" "$@"
fi

# The tool that kbuild would use, as call.real of package kbuild.
llvm=llvm-nm
[ "$hook" = nm ] || llvm=ld.lld
case ${LLVM-} in
'' | 0) exec "${CROSS_COMPILE-}$hook" "$@" ;;
*/) exec "$LLVM$llvm" "$@" ;;
-*) exec "$llvm$LLVM" "$@" ;;
*) exec "$llvm" "$@" ;;
esac
