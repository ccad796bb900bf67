# SPDX-License-Identifier: Apache-2.0
# One build of the demo: make -f build.mk BUILD=x86_64-gcc MATRIX=matrix OBJ=obj
#
# No object has a path of this machine: sources are named as kbuild names them,
# and the compilation folder is mapped to /build.

S := $(abspath src)
O := $(abspath $(OBJ))/$(BUILD)
OUT := $(abspath $(MATRIX))/$(BUILD)

# ---- the five builds -------------------------------------------------------

COMMON = -O2 -gdwarf-5 -std=gnu11 -nostdinc -I$(or $(SRC),./)include \
	-ffreestanding -fno-builtin -fno-stack-protector -fno-common -fno-pic \
	-fno-asynchronous-unwind-tables -Wall
GCC = $(COMMON) -fno-tree-loop-distribute-patterns -fno-ipa-icf
CLANG = $(COMMON) --target=x86_64-linux-gnu
X86 := -m64 -mcmodel=kernel -mno-red-zone -mno-sse -fcf-protection=none
X86_START := 0xffffffff81000000

# A build in the source folder, with relative names.
CWD := $(S)
MAP := -ffile-prefix-map=$(S)=/build/linux
SRC :=

ifeq ($(BUILD),x86_64-gcc)
ARCH := x86
CC := gcc-12
LD := ld
OBJCOPY := objcopy
FLAGS = $(GCC) $(X86)
VMLINUX := --no-warn-rwx-segments --emit-relocs
START := $(X86_START)
PACK := lib/test_quiet.ko.gz
endif

# Control flow integrity adds __cfi_ symbols, as in distributions.
ifeq ($(BUILD),x86_64-clang)
ARCH := x86
CC := clang-19
LD := ld.lld-19
FLAGS = $(CLANG) $(X86) -fsanitize=kcfi
START := $(X86_START)
PACK := drivers/hwmon/lm75.ko.zst
endif

# Monolithic LTO: C code is bitcode until the link, which renames static symbols.
ifeq ($(BUILD),x86_64-clang-lto)
ARCH := x86
CC := clang-19
LD := ld.lld-19
FLAGS = $(CLANG) $(X86) -flto=full -ffunction-sections
LTO := --lto-O2
START := $(X86_START)
endif

# A build in another folder (make O=...): absolute names of sources.
# Symbols are 8 bytes before the function (call-ops); vmlinux is ET_DYN.
ifeq ($(BUILD),arm64-gcc)
ARCH := arm64
CC := aarch64-linux-gnu-gcc-12
LD := aarch64-linux-gnu-ld
FLAGS = $(GCC) -mgeneral-regs-only -fpatchable-function-entry=4,2
VMLINUX := --no-warn-rwx-segments -shared -Bsymbolic -z notext \
	--no-apply-dynamic-relocs -z norelro
START := 0xffff800008000000
CWD := $(O)
MAP := -ffile-prefix-map=$(S)=/build/linux -ffile-prefix-map=$(O)=/build/arm64
SRC := $(S)/
endif

# Big-endian. Thunks are in COMDAT groups, and every module is compressed.
ifeq ($(BUILD),s390x-gcc)
ARCH := s390
CC := s390x-linux-gnu-gcc-12
LD := s390x-linux-gnu-ld
FLAGS = $(GCC) -march=z13 -mbackchain -msoft-float \
	-mindirect-branch=thunk -mfunction-return=thunk
VMLINUX := --no-warn-rwx-segments
START := 0x100000
PACK = $(modules:%=%.ko.xz)
endif

# ---- what is linked from what ----------------------------------------------

vmlinux := init/main kernel/irq/irqdesc kernel/sched/core kernel/sched/fair \
	drivers/pnp/card drivers/base/node drivers/base/memory drivers/base/core \
	drivers/base/class drivers/rtc/sysfs drivers/input/input \
	drivers/leds/led-class drivers/leds/led_class \
	fs/binfmt_elf fs/compat_binfmt_elf fs/inode lib/sort lib/string \
	arch/$(ARCH)/lib/copy_user arch/$(ARCH)/lib/clear_user

modules := drivers/hwmon/coretemp drivers/hwmon/lm75 drivers/hwmon/nct6775 \
	drivers/net/dummy drivers/net/ethernet/e1000 drivers/net/ethernet/e1000e \
	drivers/rtc/rtc-cmos drivers/leds/leds-gpio drivers/input/evdev \
	fs/fat/fat fs/ext2/ext2 lib/test_quiet crypto/crc32

parts_drivers/hwmon/nct6775 := drivers/hwmon/nct6775-core drivers/hwmon/nct6775-platform
parts_drivers/net/ethernet/e1000 := drivers/net/ethernet/e1000_main drivers/net/ethernet/shared_core
parts_drivers/net/ethernet/e1000e := drivers/net/ethernet/e1000e_main drivers/net/ethernet/shared_core
parts_fs/fat/fat := fs/fat/inode
parts_fs/ext2/ext2 := fs/ext2/super
parts_crypto/crc32 := crypto/crc32_glue arch/$(ARCH)/crypto/crc32-core
parts = $(or $(parts_$(1)),$(1))

# ---- rules -----------------------------------------------------------------

all: $(OUT)/vmlinux $(modules:%=$(OUT)/modules/kernel/%.ko)
	$(if $(PACK),cd $(OUT)/modules/kernel && \
		$(pack$(suffix $(firstword $(PACK)))) $(basename $(PACK)))

pack.gz := gzip -9 -n
pack.xz := xz --check=crc32 --lzma2=dict=1MiB
pack.zst := zstd -q --rm -19

compile = mkdir -p $(@D) && cd $(CWD) && $(CC) $(FLAGS) $(MAP)

HEADERS := build.mk $(wildcard src/include/linux/*.h src/drivers/*/*.h src/drivers/*/*/*.h src/fs/*.c)

$(O)/%.o: src/%.c $(HEADERS)
	$(compile) -DTOOLCHAIN='"$(CC)"' -c -o $@ $(SRC)$*.c

$(O)/%.o: src/%.S $(HEADERS)
	$(compile) -c -o $@ $(SRC)$*.S

# What modpost adds to a module: never bitcode, and here without debug info.
$(O)/%.mod.o: src/scripts/module.mod.c $(HEADERS)
	$(compile) -fno-lto -g0 -fpatchable-function-entry=0 \
		-DKBUILD_MODNAME=$(subst -,_,$(notdir $*)) -c -o $@ $(SRC)scripts/module.mod.c

$(O)/vmlinux.o: $(vmlinux:%=$(O)/%.o)
	$(LD) -r $(LTO) -o $@ $^

$(OUT)/vmlinux: $(O)/vmlinux.o src/scripts/vmlinux.lds
	mkdir -p $(@D)
	$(LD) -z max-page-size=4096 $(VMLINUX) --build-id=none --defsym=TEXT_START=$(START) \
		-T src/scripts/vmlinux.lds -o $@ $<

.SECONDEXPANSION:
$(OUT)/modules/kernel/%.ko: $$(foreach p,$$(call parts,$$*),$(O)/$$(p).o) $(O)/%.mod.o
	mkdir -p $(@D)
	$(LD) -r $(LTO) --build-id=none -o $@ $^

.DELETE_ON_ERROR:
.SECONDARY:
