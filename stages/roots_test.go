package stages

import (
	"testing"
)

func TestRoots(t *testing.T) {
	for _, c := range []struct {
		name                    string
		units                   [][2]string // name, folder of compilation
		configured              []string
		file, compDir, relative string
	}{
		{"in tree", [][2]string{{"init/main.c", "/home/u/linux"}}, nil, "drivers/pnp/card.c", "/home/u/linux", "drivers/pnp/card.c"},
		{"in tree, dot", [][2]string{{"init/main.c", "/home/u/linux"}}, nil, "./include/linux/fs.h", "/home/u/linux", "include/linux/fs.h"},
		{"in tree, absolute", [][2]string{{"init/main.c", "/home/u/linux"}}, nil, "/home/u/linux/arch/x86/entry/entry.S", "/home/u/linux", "arch/x86/entry/entry.S"},
		{"O=, absolute", [][2]string{{"/home/u/linux/init/main.c", "/home/u/build"}}, nil, "/home/u/linux/drivers/pnp/card.c", "/home/u/build", "drivers/pnp/card.c"},
		{"O=, dots", [][2]string{{"../linux/init/main.c", "/home/u/build"}}, nil, "../linux/drivers/pnp/card.c", "/home/u/build", "drivers/pnp/card.c"},
		{"O=, generated", [][2]string{{"../linux/init/main.c", "/home/u/build"}}, nil, "./include/generated/x.h", "/home/u/build", "include/generated/x.h"},
		{"O= below the source", [][2]string{{"../init/main.c", "/home/u/linux/build"}}, nil, "/home/u/linux/build/include/generated/x.h", "/home/u/linux/build", "include/generated/x.h"},
		{"prefix map", [][2]string{{"init/main.c", "debian/build/b"}}, nil, "drivers/pnp/card.c", "debian/build/b", "drivers/pnp/card.c"},
		{"prefix map, generated", [][2]string{{"init/main.c", "debian/build/b"}}, nil, "debian/build/b/init/generated.c", "debian/build/b", "init/generated.c"},
		{"prefix map, assembly", [][2]string{{"init/main.c", "debian/build/b"}, {"/build/r/linux-6.1/arch/x86/kernel/head_64.S", "/build/r/linux-6.1/debian/build/b"}}, nil,
			"/build/r/linux-6.1/arch/x86/lib/memcpy_64.S", "/build/r/linux-6.1/debian/build/b", "arch/x86/lib/memcpy_64.S"},
		{"modules alone", [][2]string{{"/s/linux/drivers/a/a.c", "/s/build"}, {"/s/linux/fs/b.c", "/s/build"}}, nil, "/s/linux/drivers/a/a.c", "/s/build", "drivers/a/a.c"},
		{"one module alone", [][2]string{{"/s/linux/drivers/a/a.c", "/s/build"}}, nil, "/s/linux/drivers/a/a.c", "/s/build", "drivers/a/a.c"},
		{"samples of Rust alone", [][2]string{{"/s/linux/samples/rust/a.rs", "/s/build"}, {"/s/linux/samples/rust/b.rs", "/s/build"}}, nil,
			"/s/linux/samples/rust/a.rs", "/s/build", "samples/rust/a.rs"},
		{"nested in arch", [][2]string{{"/s/linux/arch/x86/kernel/cpu/a.c", "/s/build"}, {"/s/linux/arch/x86/crypto/b.S", "/s/build"}}, nil,
			"/s/linux/arch/x86/kernel/cpu/a.c", "/s/build", "arch/x86/kernel/cpu/a.c"},
		{"nested twice", [][2]string{{"/s/linux/rust/kernel/block/mq.rs", "/s/build"}}, nil,
			"/s/linux/rust/kernel/block/mq.rs", "/s/build", "rust/kernel/block/mq.rs"},
		{"nested in drivers", [][2]string{{"/s/linux/drivers/net/a.c", "/s/build"}, {"/s/linux/drivers/block/b.c", "/s/build"}}, nil,
			"/s/linux/drivers/block/b.c", "/s/build", "drivers/block/b.c"},
		{"tree in a folder named kernel", [][2]string{{"/home/u/kernel/linux/drivers/a/a.c", "/b"}}, nil, "/home/u/kernel/linux/drivers/a/a.c", "/b", "drivers/a/a.c"},
		{"tree named kernel", [][2]string{{"/home/u/kernel/drivers/net/a.c", "/b"}}, nil, "/home/u/kernel/drivers/net/a.c", "/b", "drivers/net/a.c"},
		{"tree in a folder named rust", [][2]string{{"/home/u/rust/lib/crypto/a.c", "/b"}}, nil, "/home/u/rust/lib/crypto/a.c", "/b", "lib/crypto/a.c"},
		{"configured", [][2]string{{"/home/u/linux/init/main.c", "/home/u/linux"}}, []string{"/home/u"}, "/home/u/x/y.c", "/b", "x/y.c"},
		{"Rust library of Debian", [][2]string{{"init/main.c", "debian/build/b"}, {"/usr/lib/rustlib/src/rust/library/core/src/lib.rs", "debian/build/b"}}, nil,
			"/usr/lib/rustlib/src/rust/library/core/src/num/mod.rs", "debian/build/b", "library/core/src/num/mod.rs"},
		{"Rust library of rustup", nil, nil, "/home/u/.rustup/toolchains/1.85-x86_64-unknown-linux-gnu/lib/rustlib/src/rust/library/alloc/src/lib.rs", "/home/u/linux", "library/alloc/src/lib.rs"},
		{"Rust library, prefix map", nil, nil, "lib/rustlib/src/rust/library/alloc/src/lib.rs", "/home/u/linux", "library/alloc/src/lib.rs"},
		{"Rust library, dots", nil, nil, "../../usr/lib/rustlib/src/rust/library/stdarch/crates/core_arch/src/mod.rs", "b/c", "library/stdarch/crates/core_arch/src/mod.rs"},
		{"Rust library of the Rust project", nil, nil, "/rustc/4eb161250e340c8f48f66e2b929ef4a5bed7c181/library/core/src/lib.rs", "/home/u/linux", "library/core/src/lib.rs"},
		{"Rust library of Ubuntu", nil, nil, "/usr/src/rustc-1.75.0/library/core/src/lib.rs", "/home/u/linux", "library/core/src/lib.rs"},
		{"Rust library of Ubuntu, vendored", nil, nil, "/usr/src/rustc-1.75.0/vendor/compiler_builtins/src/lib.rs", "/home/u/linux", "vendor/compiler_builtins/src/lib.rs"},
		{"RUST_LIB_SRC", nil, nil, "/opt/rust/library/core/src/lib.rs", "/home/u/linux", "library/core/src/lib.rs"},
		{"toolchain in the source tree", [][2]string{{"init/main.c", "/home/u/linux"}}, nil, "/home/u/linux/t/lib/rustlib/src/rust/library/core/src/lib.rs", "/home/u/linux", "library/core/src/lib.rs"},
		{"Rust file in a folder library", [][2]string{{"init/main.c", "/home/u/linux"}}, nil, "samples/library/core/a.rs", "/home/u/linux", "samples/library/core/a.rs"},
		{"C file in a folder of Rust", [][2]string{{"init/main.c", "/home/u/linux"}}, nil, "/usr/lib/rustlib/src/rust/library/core/a.c", "/home/u/linux", "a.c"},
		{"Rust file outside", nil, nil, "/home/u/x/library/mine/src/lib.rs", "/home/u/linux", "lib.rs"},
		{"Rust, generated", [][2]string{{"rust/kernel/lib.rs", "debian/build/b"}}, nil, "debian/build/b/rust/bindings/bindings_generated.rs", "debian/build/b", "rust/bindings/bindings_generated.rs"},
		{"Rust, generated, absolute", [][2]string{{"/home/u/linux/rust/kernel/lib.rs", "/home/u/build"}}, nil, "/home/u/build/rust/bindings/bindings_generated.rs", "/home/u/build", "rust/bindings/bindings_generated.rs"},
		// The folder of the library and that of the build have /usr in common, and lib is a folder
		// of the kernel, too.
		{"modules alone with the Rust library", [][2]string{{"/usr/lib/rustlib/src/rust/library/core/src/lib.rs", "/usr/src/linux"}, {"/usr/src/linux/drivers/gpu/a.rs", "/usr/src/build"}}, nil,
			"/usr/src/linux/drivers/gpu/a.rs", "/usr/src/build", "drivers/gpu/a.rs"},
		{"outside", [][2]string{{"/home/u/linux/init/main.c", "/home/u/linux"}}, nil, "/usr/lib/gcc/include/stddef.h", "/home/u/linux", "stddef.h"},
		{"outside, dots", [][2]string{{"init/main.c", "debian/build/b"}}, nil, "../../../../x.c", "debian/build/b", "x.c"},
	} {
		e := newEvidence()
		for _, u := range c.units {
			e.add(u[0], u[1])
		}
		if got := findRoots(c.configured, nil, e).relative(c.file, c.compDir); got != c.relative {
			t.Errorf("%s: %s in %s is %s, want %s", c.name, c.file, c.compDir, got, c.relative)
		}
	}
}
