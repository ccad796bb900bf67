package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestHelp checks the style of every command's help.
func TestHelp(t *testing.T) {
	eachCommand(newRoot(), func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		for _, text := range []string{cmd.Short, cmd.Long} {
			if first, _ := utf8.DecodeRuneInString(text); !unicode.IsUpper(first) {
				t.Errorf("%s: %.40q does not begin with a capital letter", path, text)
			}
			first, _, _ := strings.Cut(text, " ")
			if strings.EqualFold(first, "kas") || strings.HasSuffix(first, "s") {
				t.Errorf("%s: %.40q does not begin with an imperative verb", path, text)
			}
		}
		if strings.HasSuffix(cmd.Short, ".") || strings.Contains(cmd.Short, "\n") {
			t.Errorf("%s: %q is not one line without a full stop", path, cmd.Short)
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) { checkFlag(t, path, f) })

		var stdout bytes.Buffer
		args := append([]string{"help"}, strings.Fields(path)[1:]...)
		if code := run(args, &stdout, &stdout); code != 0 {
			t.Errorf("kas %s: exit %d", strings.Join(args, " "), code)
		}
		if !strings.HasPrefix(stdout.String(), cmd.Long+"\n") {
			t.Errorf("%s: the help does not begin with the long text", path)
		}
		exits := "\n\nExit codes:\n" + exitsText(exitCodes[commandKey(cmd)])
		if !strings.HasSuffix(stdout.String(), exits) {
			t.Errorf("%s: the help does not end with the exit codes:\n%s", path, &stdout)
		}
		for line := range strings.Lines(stdout.String()) {
			line = strings.TrimSuffix(line, "\n")
			if n := utf8.RuneCountInString(line); n > 80 {
				t.Errorf("%s: %d columns: %s", path, n, line)
			}
			if strings.TrimRight(line, " ") != line {
				t.Errorf("%s: trailing space: %q", path, line)
			}
		}
	})
}

// placeholder is the name that a flag's usage gives its value.
var placeholder = regexp.MustCompile("`[A-Z/]+`")

func checkFlag(t *testing.T, command string, f *pflag.Flag) {
	if f.Name == "help" {
		return
	}
	// A placeholder may begin the text; everything else begins in lower case.
	if first, _ := utf8.DecodeRuneInString(f.Usage); first != '`' && !unicode.IsLower(first) {
		t.Errorf("%s --%s: %q does not begin in lower case", command, f.Name, f.Usage)
	}
	if strings.HasSuffix(f.Usage, ".") {
		t.Errorf("%s --%s: %q ends with a full stop", command, f.Name, f.Usage)
	}
	names := placeholder.FindAllString(f.Usage, -1)
	if isBool := f.Value.Type() == "bool"; isBool && len(names) != 0 || !isBool && len(names) != 1 {
		t.Errorf("%s --%s: %q names %d placeholders", command, f.Name, f.Usage, len(names))
	}
}

// TestExitCodes compares each command's table of exit codes with the codes that the scripts in
// testdata want of it: every code that occurs must be in the table, and every code in the table
// must occur.
func TestExitCodes(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(scripts) < 10 {
		t.Fatal(scripts, err)
	}
	line := regexp.MustCompile(`(?m)^exits (\d+) kas\b(.*)$`)
	root := newRoot()
	occur := map[string]map[int]string{} // by command and code: one such line
	for _, script := range scripts {
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range line.FindAllStringSubmatch(string(text), -1) {
			args := strings.Fields(m[2])
			cmd, _, err := root.Find(args)
			if err != nil || len(args) > 0 && (args[0] == "help" || args[0] == "__complete") {
				cmd = root
			}
			var code int
			fmt.Sscan(m[1], &code)
			key := commandKey(cmd)
			if occur[key] == nil {
				occur[key] = map[int]string{}
			}
			occur[key][code] = filepath.Base(script) + ": " + m[0]
		}
	}
	var known []string
	eachCommand(root, func(cmd *cobra.Command) {
		key := commandKey(cmd)
		known = append(known, key)
		table := map[int]bool{}
		for _, c := range exitCodes[key] {
			table[c.n] = true
			if c.n != toolsOwn && occur[key][c.n] == "" && !(key == "" && c.n == exitFailed) {
				t.Errorf("kas %s: no script has exit code %d: %s", key, c.n, c.when)
			}
		}
		for code, where := range occur[key] {
			if !table[code] && !table[toolsOwn] {
				t.Errorf("kas %s: the table has no %d, %s", key, code, where)
			}
		}
	})
	for _, key := range slices.Sorted(maps.Keys(exitCodes)) {
		if !slices.Contains(known, key) {
			t.Errorf("exit codes of %q, which is not a command", key)
		}
	}
}
