package configs

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"kas/need"
)

// validator reads a schema and documents, and prints the first error of each document with one.
const validator = `
import json, sys
from jsonschema import Draft202012Validator as V
data = json.load(sys.stdin)
V.check_schema(data["schema"])
v = V(data["schema"])
errors = {name: [e.message for e in v.iter_errors(doc)] for name, doc in data["docs"].items()}
json.dump({name: e[0] for name, e in errors.items() if e}, sys.stdout)
`

// invalid returns what an independent validator says of documents that the schema refuses.
func invalid(t *testing.T, docs map[string]string) map[string]string {
	t.Helper()
	need.Tools(t, "python3", "jsonschema")
	values := map[string]any{}
	for name, text := range docs {
		var v any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(name, err)
		}
		values[name] = v
	}
	in, err := json.Marshal(map[string]any{"schema": Schema(), "docs": values})
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	c := exec.Command("python3", "-c", validator)
	c.Stdin, c.Stderr = bytes.NewReader(in), &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	found := map[string]string{}
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatal(err)
	}
	return found
}

// TestSchema validates the shipped configurations, and files with one mistake each.
func TestSchema(t *testing.T) {
	good := map[string]string{
		"all keys": `{version: 1, out: o, jobs: 2, on_error: stop, stages: [scan, dedupe], debug: /d,
alias: {separator: "!", line: none, symbols: all, names: ["a*"], max_length: 9, never: {add: x}},
emit: {beside: true, unaliased: link}, report: {html: a, history: b},
gate: {verify: true, problems: old, moved: 3, fail_on: [growth, "ambiguous:a*"]},
builds: [{name: a, arch: amd64, toolchain: gcc, lto: none, vmlinux: v, modules: [m, n], source: s,
optional: true, alias: {names: all}, stages: [scan], emit: {beside: false}, debug: [d]}]}`,
		"placeholders": `{version: 1, matrix: [{arch: [x86_64], toolchain: [llvm], exclude: [{lto: thin}],
build: {name: "{arch}", arch: "{arch}", vmlinux: "{arch}/vmlinux"}}]}`,
		"own axes": `{version: 1, x-paths: &p {source: /s}, matrix: [{version: [6.1, 6.12], flavour: [rt],
exclude: [{version: 6.1}], build: {<<: *p, name: "{version}-${flavour}", package: "{version}/*.deb"}}]}`,
		"glob":        `{version: 1, builds: [{glob: "pool/*.deb", name: "{1}"}]}`,
		"rules alone": "{version: 1, gate: {without_alias: old}}",
		"merge keys":  `{version: 1, builds: [&a {name: a, vmlinux: v}, {<<: *a, name: b}]}`,
	}
	shipped, err := filepath.Glob("*.yaml")
	if err != nil || len(shipped) < 4 {
		t.Fatal(shipped, err)
	}
	for _, path := range append(shipped, "../demo/demo.yaml") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		good[path] = string(text)
	}
	for name, message := range invalid(t, good) {
		t.Errorf("%s: %s", name, message)
	}

	const build = "builds: [{name: a, vmlinux: v}]"
	bad := map[string]string{}
	for _, text := range []string{
		"{" + build + "}", "{version: 2, " + build + "}", "{version: 1, kernels: []}", "{version: 1, builds: []}",
		"{version: 1, jobs: -1, " + build + "}", "{version: 1, jobs: many, " + build + "}",
		"{version: 1, on_error: halt, " + build + "}", "{version: 1, alias: {line: middle}}",
		"{version: 1, alias: {names: some}}", "{version: 1, alias: {names: []}}",
		"{version: 1, alias: {never: {add: a, replace: b}}}", "{version: 1, emit: {beside: 1}}",
		"{version: 1, gate: {moved: old}}", "{version: 1, gate: {problems: few}}",
		"{version: 1, builds: [{vmlinux: v}]}", "{version: 1, builds: [{name: a}]}",
		"{version: 1, builds: [{name: a, vmlinux: v, toolchain: clang}]}",
		"{version: 1, builds: [{name: a, vmlinux: v, arch: 386}]}",
		"{version: 1, stages: [scan, scan]}", "{version: 1, stages: [run]}",
		"{version: 1, matrix: [{build: {name: a, vmlinux: v}}]}", "{version: 1, matrix: [{arch: [arm]}]}",
		"{version: 1, matrix: [{arch: [vax], build: {name: a, vmlinux: v}}]}",
		"{version: 1, matrix: [{arch: [arm], exclude: [{cpu: [a]}], build: {name: a, vmlinux: v}}]}",
		"{version: 1, matrix: [{version: 6.1, build: {name: a, vmlinux: v}}]}",
		"{version: 1, matrix: [{version: [[]], build: {name: a, vmlinux: v}}]}",
		"{version: 1, report: {pdf: a}}", "{version: 1, out: ''}", "[version, 1]",
	} {
		bad[text] = text
	}
	refused := invalid(t, bad)
	for text := range bad {
		if refused[text] == "" {
			t.Errorf("the schema accepts %s", text)
		}
		path := filepath.Join(t.TempDir(), "kas.yaml")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); err == nil {
			t.Errorf("kas accepts %s", text)
		}
	}
}

// TestSchemaDescriptions wants a description of each key, and none of others.
func TestSchemaDescriptions(t *testing.T) {
	unused := map[string]bool{}
	for path := range descriptions {
		unused[path] = true
	}
	var walk func(v any, path string)
	walk = func(v any, path string) {
		switch v := v.(type) {
		case []schema:
			for _, s := range v {
				walk(s, path)
			}
		case schema:
			for name, p := range v {
				if name != "properties" {
					walk(p, path)
					continue
				}
				for key, s := range p.(schema) {
					at := strings.TrimPrefix(path+"."+key, ".")
					at = strings.Replace(at, "matrix.build.", "builds.", 1)
					if s.(schema)["description"] == "" {
						t.Errorf("%s has no description", at)
					}
					delete(unused, at)
					walk(s, at)
				}
			}
		}
	}
	walk(Schema(), "")
	for path := range unused {
		t.Errorf("%s has a description and is no key", path)
	}
	if len(descriptions) < reflect.TypeFor[Build]().NumField() {
		t.Error("no descriptions")
	}
}
