// Package need finds the tools that a test runs. Only tests import it.
//
// A missing tool skips the test on a developer's machine. Where every test has to run, it fails it:
// under CI=true, which CI services set, and under KAS_NO_SKIP=1.
package need

import (
	"os"
	"os/exec"
	"testing"
)

// Tool returns the path of a program. If it is not in PATH, the test is skipped or fails.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Missing(t, name)
	}
	return path
}

// Tools is Tool for several programs. The paths are in the order of the names.
func Tools(t testing.TB, names ...string) []string {
	t.Helper()
	var paths []string
	for _, name := range names {
		paths = append(paths, Tool(t, name))
	}
	return paths
}

// Missing ends a test because the machine lacks what it names: it skips the test, or fails it where
// every test has to run.
func Missing(t testing.TB, what string) {
	t.Helper()
	if noSkip(os.Getenv) {
		t.Fatalf("%s is missing, and every test has to run: run make tools", what)
	}
	t.Skipf("%s is missing: make tools installs what the tests run", what)
}

func noSkip(getenv func(string) string) bool {
	return getenv("CI") == "true" || getenv("KAS_NO_SKIP") == "1"
}
