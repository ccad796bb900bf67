package stages

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kas/configs"
)

func TestPolicy(t *testing.T) {
	plain := configs.Alias{Separator: "@", Line: "opening", Symbols: "text"}
	all, globs, rest := plain, plain, plain
	all.Names.All = true
	globs.Names.Globs = []string{"all", "name_*", "a,b", "50% of\tall"}
	rest.SuffixFree, rest.MaxLength = true, 127
	rest.Never = configs.Never{Replace: true, Patterns: []string{`^a b$`, `x{1,2}%20`}}
	more := plain
	more.Never.Patterns = []string{"^y"}
	none := plain
	none.Never.Replace = true
	for _, c := range []struct {
		policy configs.Alias
		want   string
	}{
		{plain, "separator=@ line=opening symbols=text names=duplicates"},
		{all, "separator=@ line=opening symbols=text names=all"},
		{globs, "separator=@ line=opening symbols=text globs=all,name_*,a%2Cb,50%25%20of%09all"},
		{rest, "separator=@ line=opening symbols=text names=duplicates suffix_free=true max_length=127 never_only=^a%20b$,x{1%2C2}%2520"},
		{more, "separator=@ line=opening symbols=text names=duplicates never=^y"},
		{none, "separator=@ line=opening symbols=text names=duplicates never_only="},
	} {
		text := Policy(&c.policy)
		if text != c.want {
			t.Errorf("%s, want %s", text, c.want)
		}
		if got, err := ParsePolicy(text); err != nil || !cmp.Equal(got, c.policy) {
			t.Errorf("%s: %v %s", text, err, cmp.Diff(got, c.policy))
		}
	}
	for text, want := range map[string]string{
		"separator=@ line=opening symbols=text color=red": "unknown word",
		"separator=@ symbols=text":                        "is incomplete",
		"separator=@ line=none symbols=text names=some":   "unknown word",
		"": "is incomplete",
		"separator=@ line=none symbols=text max_length=x": "invalid syntax",
		"separator=@ line=none symbols=text globs=%zz":    "invalid URL escape",
	} {
		if _, err := ParsePolicy(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
