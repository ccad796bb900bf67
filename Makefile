# The targets of the project. Those that need tools install the missing ones with apt-get.

GO          ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
DEADCODE    := golang.org/x/tools/cmd/deadcode@v0.52.0
KAS         := bin/kas

# The tests run gcc and clang for the host and gcc for eight other architectures, the tools of binutils
# for each, LLVM's linker and tools, elfutils' ELF checker and addr2line, and the tracers that kas probe
# writes for. codespell checks the prose.
CROSS    := aarch64-linux-gnu s390x-linux-gnu riscv64-linux-gnu i686-linux-gnu \
	arm-linux-gnueabihf powerpc64le-linux-gnu mips64-linux-gnuabi64 mips64el-linux-gnuabi64
TOOLS    := gcc make patch gdb sqlite3 python3 jsonschema xz zstd perf readelf nm ld objcopy strip eu-strip eu-elflint eu-addr2line debuginfod bsdtar dwz dpkg-deb rpmbuild codespell clang-19 \
	ld.lld-19 llvm-readelf-19 llvm-nm-19 llvm-objcopy-19 llvm-addr2line-19 \
	$(CROSS:%=%-gcc) $(CROSS:%=%-ld)
PACKAGES := gcc make patch gdb sqlite3 python3 python3-jsonschema xz-utils zstd linux-perf libc6-dev binutils elfutils debuginfod libarchive-tools dwz dpkg rpm codespell clang-19 lld-19 llvm-19 \
	$(CROSS:%=gcc-%)

# Debian's 6.1 kernels, and the newest of its other suites.
CORPORA := cloud-amd64 cloud-amd64-old cloud-amd64-6.12 cloud-arm64 s390x amd64 686 mips64r2el \
	next-cloud-amd64 next-cloud-arm64 next-riscv64 next-loong64 package

# $(call fetch,COMMAND:PACKAGE...) installs the packages of the commands that are missing.
fetch = for t in $(1); do \
	command -v $${t%:*} >/dev/null || apt-get -q install -y --no-install-recommends $${t\#*:} || \
	exit; done

.PHONY: all go build install man dist dist-test demo test check lint spell shuffle verify-test kernel-test kernel-table report-test mutants farm-test crash lab bench compare fuzz tools
.PHONY: $(CORPORA:%=corpus-%) corpus-headers corpus-headers-old hostile fixtures clean

all: build

# What kas --version prints after the release: the commit, and + if files differ from it.
COMMIT = $(shell c=$$(git rev-parse --short=12 HEAD 2>/dev/null) && \
	{ git diff --quiet HEAD || c=$$c+; echo $$c; })
# Without cgo, which net/http would bring in, the program is static and starts a millisecond sooner.
GOBUILD = CGO_ENABLED=0 $(GO) build -ldflags '-X main.commit=$(COMMIT)'

build: go
	$(GOBUILD) -o $(KAS) ./cmd/kas
	install -m 755 kbuild/hook.sh bin/kas-ld && ln -sf kas-ld bin/kas-nm

# One line instead of an error about go.mod if Go is missing or too old.
go:
	@v=$$($(GO) env GOVERSION 2>/dev/null); case $$v in go1.2[6-9]*|go1.[3-9][0-9]*|devel*) ;; *) \
		echo "kas needs Go 1.26 or later, and this is $${v:-none}: see Install in README.md" >&2; \
		exit 1;; \
	esac

# DESTDIR is the root that a package is made in.
PREFIX  ?= /usr/local
DESTDIR ?=
install: build man
	dist/install.sh $(KAS) bin/man "$(DESTDIR)$(PREFIX)"

# The manual pages, from the texts that kas help prints.
man: go
	SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || echo 0)} \
		$(GO) run -tags man ./cmd/kas man bin/man

# Archives and packages of a release for amd64 and arm64, in bin/dist. The same commit gives the
# same bytes on every machine.
dist: go
	GO="$(GO)" COMMIT=$(COMMIT) dist/dist.sh bin/dist

# Makes the release twice, compares, and installs and tries each form in a bare Debian 12.
dist-test: go
	$(call fetch,debootstrap:debootstrap rpm:rpm)
	dist/test.sh

demo: build
	$(KAS) demo

test: tools
	$(GO) test ./...

# A program with the race detector sleeps for a second when it ends, so that other threads can report.
# The tests run kas many hundred times, and kas waits for its goroutines itself.
check: lint spell
	GORACE=atexit_sleep_ms=10 $(GO) test -race ./...

lint: tools
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags kernel ./...
	$(GO) run $(STATICCHECK) ./...
	@dead=$$($(GO) run $(DEADCODE) -test -tags kernel ./...) || exit; \
	test -z "$$dead" || { echo "$$dead"; exit 1; }

# Checks the spelling, and that words the project does not use stay out: docs/words/avoid.txt names them
# and what to write instead. ignore.txt has the words that codespell would correct, but that are right.
spell: tools
	codespell -D - -D docs/words/avoid.txt -I docs/words/ignore.txt --ignore-regex '\\[nt]' \
		$$(find . \( -name .git -o -name .cache -o -name testdata -o -path ./docs/words \) -prune -o \
		-type f \( -name '*.go' -o -name '*.md' -o -name '*.sh' -o -name '*.yaml' -o -name '*.mk' \
		-o -name Makefile -o -path ./.ci/run \) -print)

# All tests three times, in random order.
shuffle: tools
	for n in 1 2 3; do $(GO) test -shuffle=on -count=1 ./... || exit; done

# Breaks the program in each way that bench/mutants/mutants.txt lists: a test must fail every time.
mutants: tools
	$(GO) run ./bench/mutants $(if $(ONLY),-only $(ONLY))

# A whole run on Debian's kernel, checked by other tools, with an older version to compare and a module
# built against its headers. It takes minutes, and downloads 570 MB the first time.
kernel-test: tools corpus-cloud-amd64 corpus-cloud-amd64-old corpus-headers corpus-headers-old
	$(call fetch,dkms:dkms)
	$(GO) test -tags kernel -run Kernel -count 1 -timeout 30m -v ./cmd/kas ./probe

# Changes the output of runs 1,000 times and wants kas verify to notice it each time, and damages
# objects before 500 runs. It takes minutes. N=5000 changes more.
verify-test:
	$(GO) test ./cmd/kas -run 'TestMutations|TestVerifyAgrees' -count 1 -timeout 1h -v \
		-mutations $(or $(N),1000)

# Runs and verifies each kernel of the cache, has other code judge every alias, and writes the table
# into docs/kernels.md. It takes half an hour. ONLY=s390x,686 picks kernels and only prints their rows.
kernel-table: build tools
	$(GO) test -tags kernel -run '^TestTable$$' -count 1 -timeout 3h -v ./cmd/kas \
		-kas $(CURDIR)/$(KAS) $(if $(ONLY),-only $(ONLY),-table $(CURDIR)/docs/kernels.md)

$(CORPORA:%=corpus-%): corpus-%:
	bench/corpus.sh $*

# What out-of-tree modules are built with, for cloud-amd64's kernel and cloud-amd64-old's.
corpus-headers: corpus-cloud-amd64
	bench/corpus.sh headers
corpus-headers-old: corpus-cloud-amd64-old
	bench/corpus.sh headers-old

# Shards on a farm that fails: Slurm with three nodes on this machine, of which one is killed and
# one cut off, mounts that go away, full disks, twins; and the files for schedulers. As root, in
# minutes.
farm-test: build corpus-cloud-amd64
	$(call fetch,slurmctld:slurm-wlm munged:munge bindfs:bindfs)
	cd farm && PATH=$(CURDIR)/bin:$$PATH $(GO) test -count 1 ./...
	rm -rf .cache/farm
	farm/trial.sh $(KAS) .cache/farm $(or $(KAS_CACHE),.cache)/corpus/cloud-amd64
	rm -rf .cache/farm

# Cuts kas's file system off from its disk at random moments, and checks what is left and what the next
# run makes of it. It needs root and a loop device. KAS_CRASH_CONFIG=FILE takes other kernels than the
# demo's, with a file system of KAS_CRASH_MB.
CRASHES ?= 20
crash: build
	KAS_CRASHES=$(CRASHES) $(GO) test -run '^TestPowerLoss$$' -count 1 -timeout 1h -v ./cmd/kas

# Looks at the report about the demo in Chromium, with axe for accessibility, and at its metrics with
# promtool. Downloads 60 MB of npm packages the first time. REPORT=PAGE looks at another page.
REPORT      ?= .cache/report/demo.html
BROWSER      = .cache/report/npm
AXE         := puppeteer-core@24.43.1 axe-core@4.14.1
report-test: build
	$(call fetch,chromium:chromium promtool:prometheus node:nodejs npm:npm)
	$(KAS) demo .cache/report/demo >/dev/null
	$(KAS) report .cache/report/demo/out -o .cache/report/demo.html \
		--prometheus .cache/report/demo.prom
	promtool check metrics <.cache/report/demo.prom
	mkdir -p $(BROWSER) && npm install --no-audit --no-fund --no-save --prefix $(BROWSER) $(AXE)
	node report/page/check.mjs $(BROWSER) $(REPORT) .cache/report/pictures

# Builds small kernels with and without the hooks, boots them under qemu and checks what they show. It
# takes hours, and 1 GB a kernel; a second make goes on where the first ended. ONLY=7.3-gcc,debian picks
# kernels; KAS_LAB is the folder (docs/kbuild.md).
lab: build
	kbuild/lab/lab.sh all $(ONLY)

# Benchmarks of the hot functions and, on small objects, of each stage, for benchstat.
ROUNDS ?= 5
bench:
	$(GO) test ./bench ./elf ./elf/dwarf -run '^$$' -bench . -count $(ROUNDS)

# Whole processes of kas and its peers on real kernels: ten minutes. ONLY=run-cloud,emit-all picks rows;
# only the kernels that they run on are fetched. RESULT=NAME keeps the table as bench/results/NAME.md.
# GATE=2 fails if a ratio misses its target by more than that factor.
COMPARE = $(GO) run ./bench/compare $(if $(ONLY),-only $(ONLY))
compare: build tools
	corpora=$$($(COMPARE) -needs) && for c in $$corpora; do bench/corpus.sh $$c || exit; done
	$(COMPARE) -rounds $(ROUNDS) $(if $(GATE),-gate $(GATE)) \
		$(if $(RESULT),-o bench/results/$(RESULT).md)

# Every fuzz target that go test lists, for FUZZTIME each. By default, Go would stop for a minute to
# minimize an input.
FUZZTIME ?= 10m
FUZZ      = $(GO) test -run '^$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 20x
fuzz:
	targets=$$($(GO) test -list '^Fuzz' ./...) || exit; echo "$$targets" | \
	awk '/^Fuzz/ { names = names " " $$1 } \
		$$1 == "ok" { n = split(names, t); for (i = 1; i <= n; i++) print t[i], $$2; names = "" }' | \
	while read -r target package; do \
		$(FUZZ) -fuzz "^$$target\$$" $$package </dev/null || exit; \
	done

# Runs kas on every hostile object of the generator in full size. It takes a quarter of an hour.
hostile: tools
	$(GO) test ./cmd/kas -run '^TestHostile$$' -count 1 -timeout 1h -v -parallel 1 -hostile

# Rebuilds the committed fixtures; needs the compilers that their Makefiles name.
fixtures:
	$(MAKE) -C demo
	$(MAKE) -C elf/testdata
	$(MAKE) -C packages/testdata

tools:
	@missing=; for t in $(TOOLS); do command -v $$t >/dev/null || missing="$$missing $$t"; done; \
	if [ -n "$$missing" ]; then \
		echo "installing$$missing"; \
		sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
		$$sudo apt-get -q update && $$sudo apt-get -q install -y --no-install-recommends $(PACKAGES); \
	fi

clean:
	rm -rf bin kas-demo
