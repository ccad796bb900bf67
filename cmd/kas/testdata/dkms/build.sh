#!/bin/sh
# Builds the package kas-twins by dkms, in the ways that kernel_dkms_test.go lists. Each leaves a
# folder in OUT with the modules, make.log and the status of dkms.
#
#   build.sh SOURCE OUT NEW OLD     NEW and OLD are releases of kernels
set -eu
source=$1 out=$2 new=$3 old=$4
conf=/etc/dkms/kas-twins.conf
make='make -C $kernel_source_dir M=$dkms_tree/$module/$module_version/build'

cp -r "$source" /usr/src/kas-twins-1.0
dkms add kas-twins/1.0

# build NAME RELEASE
build() {
	mkdir -p "$out/$1"
	status=0
	dkms build kas-twins/1.0 -k "$2" >"$out/$1/dkms.log" 2>&1 || status=$?
	echo $status >"$out/$1/status"
	tree=/var/lib/dkms/kas-twins/1.0
	if [ $status = 0 ]; then
		cp $tree/"$2"/*/log/make.log $tree/"$2"/*/module/*.ko "$out/$1"
		dkms remove kas-twins/1.0 -k "$2" >/dev/null 2>&1
		[ -e $tree/source ] || dkms add kas-twins/1.0
	else
		cp $tree/build/make.log "$out/$1"
	fi
}

build plain "$new"

# The lines of docs/kbuild.md, for two kernels.
kas registry --install "$new"
kas registry --install "$old"
cat >$conf <<-END
	MAKE[0]="\${MAKE[0]:-$make}"
	MAKE[0]="\${MAKE[0]} NM=kas-nm LD=kas-ld"
END
build new "$new"
build old "$old"

# The kernel's debug files are elsewhere: a configuration names the folder, relative to itself.
mkdir -p /usr/src/kas/debug
printf 'version: 1\ndebug: debug\n' >/usr/src/kas/kas.yaml
mount --bind /usr/lib/debug /usr/src/kas/debug
mount -t tmpfs none /usr/lib/debug
build away "$new"
echo 'MAKE[0]="${MAKE[0]} KAS_CONFIG=/usr/src/kas/kas.yaml"' >>$conf
build debug "$new"
sed -i '$d' $conf
umount /usr/lib/debug

# The package names its own command.
echo "MAKE[0]=\"$make modules\"" >>/usr/src/kas-twins-1.0/dkms.conf
build command "$new"

# The registry of another kernel.
echo "MAKE[0]=\"$make NM=kas-nm LD=kas-ld KAS_REGISTRY=/lib/modules/$old/symbols.kas\"" >$conf
build other "$new"

# A kernel that ld.lld linked: dkms adds LD=ld.lld at the end.
echo CONFIG_LD_IS_LLD=y >>"/usr/src/linux-headers-$new/.config"
echo "MAKE[0]=\"\${MAKE[0]} NM=kas-nm --eval='override LD=kas-ld --tool=ld.lld-19'\"" >$conf
build lld "$new"

rm "/lib/modules/$old/symbols.kas"
echo "MAKE[0]=\"\${MAKE[0]} NM=kas-nm LD=kas-ld\"" >$conf
build none "$old"
