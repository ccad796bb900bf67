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
		{"configured", [][2]string{{"/home/u/linux/init/main.c", "/home/u/linux"}}, []string{"/home/u"}, "/home/u/x/y.c", "/b", "x/y.c"},
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
