package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kas/demo"
)

// TestFlippedBytes flips random bits of an object. Each run succeeds without a message, or fails
// with one line about that object and none about another.
func TestFlippedBytes(t *testing.T) {
	dir := t.TempDir()
	objects := map[string]string{ // file, and its name in messages
		"vmlinux":                                  "vmlinux",
		"modules/kernel/drivers/hwmon/lm75.ko":     "kernel/drivers/hwmon/lm75.ko",
		"modules/kernel/drivers/hwmon/coretemp.ko": "kernel/drivers/hwmon/coretemp.ko",
		"modules/kernel/drivers/hwmon/nct6775.ko":  "kernel/drivers/hwmon/nct6775.ko",
	}
	whole := map[string][]byte{}
	for name := range objects {
		data, err := demo.FS.ReadFile("matrix/x86_64-gcc/" + name)
		if err != nil {
			t.Fatal(err)
		}
		whole[name] = data
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	config := filepath.Join(dir, "kas.yaml")
	yaml := "version: 1\nbuilds: [{name: k, vmlinux: vmlinux, modules: modules}]\n"
	if err := os.WriteFile(config, []byte(yaml), 0o644); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for _, name := range []string{"modules/kernel/drivers/hwmon/lm75.ko", "vmlinux"} {
		const times = 60
		failed := 0
		for range times {
			spoiled := bytes.Clone(whole[name])
			at, bit := random.IntN(len(spoiled)), byte(1)<<random.IntN(8)
			if random.IntN(2) == 0 { // the end is where the section headers are
				at = len(spoiled) - 1 - random.IntN(2000)
			}
			spoiled[at] ^= bit
			if err := os.WriteFile(filepath.Join(dir, name), spoiled, 0o644); err != nil {
				t.Fatal(err)
			}
			var stdout, stderr bytes.Buffer
			code := run([]string{"run", config}, &stdout, &stderr)
			about, others := 0, 0
			for line := range strings.Lines(stderr.String()) {
				for _, object := range objects {
					switch {
					case !strings.Contains(line, ": "+object+": "):
					case object == objects[name]:
						about++
					default:
						others++
					}
				}
			}
			if code > exitFailed || about > 1 || others > 0 ||
				(about == 1) != (code == exitFailed) ||
				strings.Contains(stderr.String(), "internal error") {
				t.Errorf("%s: byte %#x ^ %#x: exit %d, %d lines about it, %d about others\n%s",
					name, at, bit, code, about, others, &stderr)
			}
			failed += code
		}
		if failed == 0 || failed == times {
			t.Errorf("%s: %d of %d flipped bits were noticed", name, failed, times)
		}
		if err := os.WriteFile(filepath.Join(dir, name), whole[name], 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
