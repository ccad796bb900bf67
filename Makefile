# The targets of the project. Each installs what it needs, with apt-get, if it is not there.

GO          ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
KAS         := bin/kas

# The tests run gcc and clang for the host and gcc for eight other architectures, the tools of binutils
# for each, LLVM's linker and tools, elfutils' ELF checker and addr2line, and the tracers that kas probe
# writes for. codespell checks the prose.
CROSS    := aarch64-linux-gnu s390x-linux-gnu riscv64-linux-gnu i686-linux-gnu \
	arm-linux-gnueabihf powerpc64le-linux-gnu mips64-linux-gnuabi64 mips64el-linux-gnuabi64
TOOLS    := gcc make patch gdb perf readelf nm ld objcopy eu-elflint eu-addr2line codespell clang-19 \
	ld.lld-19 llvm-readelf-19 llvm-nm-19 llvm-objcopy-19 llvm-addr2line-19 \
	$(CROSS:%=%-gcc) $(CROSS:%=%-ld)
PACKAGES := gcc make patch gdb linux-perf libc6-dev binutils elfutils codespell clang-19 lld-19 llvm-19 \
	$(CROSS:%=gcc-%)

.PHONY: all build demo test check kernel-test lab bench compare fuzz tools corpus-cloud-amd64 corpus-cloud-amd64-old corpus-cloud-amd64-6.12 corpus-cloud-arm64 corpus-s390x corpus-amd64 corpus-headers fixtures clean

all: build

build:
	$(GO) build -o $(KAS) ./cmd/kas
	ln -sf kas bin/kas-nm && ln -sf kas bin/kas-ld

demo: build
	$(KAS) demo

test: tools
	$(GO) test ./...

check: tools
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags kernel ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) test -race ./...

# The whole way on Debian's kernel, and what came out held against other tools: an older version beside it, a module built
# against its headers. Minutes, and 570 MB the first time.
kernel-test: tools corpus-cloud-amd64 corpus-cloud-amd64-old corpus-headers
	$(GO) test -tags kernel -run Kernel -count 1 -timeout 30m -v ./cmd/kas ./probe

corpus-cloud-amd64 corpus-cloud-amd64-old corpus-cloud-amd64-6.12 corpus-cloud-arm64 corpus-s390x corpus-amd64: corpus-%:
	bench/corpus.sh $*

# What modules are built with out of the tree; of the kernel that is there.
corpus-headers: corpus-cloud-amd64
	bench/corpus.sh headers

# Builds small kernels with and without the hooks, boots them under qemu and asserts what they show: hours, 1 GB for
# each kernel. KINDS="6.12-gcc 6.1-gcc" picks kernels; KAS_LAB is the folder (docs/kbuild.md).
lab: build
	kbuild/lab/lab.sh all $(KINDS)

# The hot functions and the pipeline stage by stage, on small objects, for benchstat.
ROUNDS ?= 5
bench:
	$(GO) test ./bench ./elf ./elf/dwarf -run '^$$' -bench . -count $(ROUNDS)

# kas beside its peers on real kernels, whole processes in turn: ten minutes. ONLY=run-cloud,emit-all picks rows; RESULT=NAME
# keeps the table as bench/results/NAME.md.
compare: build tools corpus-cloud-amd64 corpus-amd64
	$(GO) run ./bench/compare -rounds $(ROUNDS) $(if $(ONLY),-only $(ONLY)) $(if $(RESULT),-o bench/results/$(RESULT).md)

# FUZZTIME each. Minimizing an input of some kilobytes for Go's default of a minute would stop the fuzzing for as long.
FUZZTIME ?= 10m
FUZZ      = $(GO) test -run '^$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 20x -fuzz
fuzz:
	$(FUZZ) FuzzOpen ./elf
	$(FUZZ) FuzzRewrite ./elf
	$(FUZZ) FuzzLocate ./elf/dwarf
	$(FUZZ) FuzzClassify ./stages
	$(FUZZ) FuzzNeverWords ./stages
	$(FUZZ) FuzzLoad ./configs
	$(FUZZ) FuzzOpen ./registry

# Builds the committed fixtures again; needs the compilers that their Makefiles name.
fixtures:
	$(MAKE) -C demo
	$(MAKE) -C elf/testdata

tools:
	@missing=; for t in $(TOOLS); do command -v $$t >/dev/null || missing="$$missing $$t"; done; \
	if [ -n "$$missing" ]; then \
		echo "installing$$missing"; \
		sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
		$$sudo apt-get -q update && $$sudo apt-get -q install -y --no-install-recommends $(PACKAGES); \
	fi

clean:
	rm -rf bin kas-demo
