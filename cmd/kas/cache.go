package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"kas/packages"
	"kas/report"
)

func newCache() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "cache",
		Short: "List and remove what kas keeps: packages, registries, debug files",
		Long: `List what kas keeps in the user's cache, with its size and when a command used
it for the last time (a registry: when it was made):

  packages    what was unpacked of packages, once for each content. When all
              together are larger than KAS_CACHE_LIMIT (a size like 50G; default
              20G), those that were not used for the longest time go
  registries  those that kas registry made, or that were fetched
  runs        what a run notes for the next one
  debuginfod  debug files that servers sent; gdb and others use them, too`,
		Example: `  kas cache
  kas cache clear --older-than 7d
  kas cache clear registries`,
		Args: onlyCommands,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := openCache()
			if err != nil {
				return err
			}
			all, err := listStored(c)
			if err != nil {
				return failure{err}
			}
			if asJSON {
				return cacheJSON(cmd.OutOrStdout(), c, all)
			}
			return cacheText(cmd.OutOrStdout(), c, all)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.AddCommand(newCacheClear())
	return cmd
}

type clearFlags struct {
	age  string
	json bool
}

func newCacheClear() *cobra.Command {
	var f clearFlags
	cmd := &cobra.Command{
		Use:   "clear [KIND...]",
		Short: "Remove unpacked packages, or what else kas keeps",
		Long: `Remove the packages that kas unpacked, or what it keeps of other kinds:
packages, registries, runs, debuginfod. The next command that needs it makes or
fetches it again. What another kas uses at this moment stays.`,
		Example: `  kas cache clear
  kas cache clear packages registries --older-than 36h`,
		Args:      argCount(0, len(keptKinds)),
		ValidArgs: keptKinds,
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, kind := range args {
				if err := oneOf("KIND", kind, keptKinds); err != nil {
					return err
				}
			}
			if len(args) == 0 {
				args = keptKinds[:1]
			}
			return clearCache(args, f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&f.age, "older-than", "0s",
		"remove only what was not used for `TIME`: 30m, 36h, 7d")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	return cmd
}

// cleared is what was removed, and what was in use.
type cleared struct {
	Removed []stored `json:"removed"`
	InUse   []stored `json:"in_use"`
}

func clearCache(kinds []string, f clearFlags, stdout, stderr io.Writer) error {
	old, err := parseAge(f.age)
	if err != nil {
		return fmt.Errorf("--older-than: %w", err)
	}
	c, err := openCache()
	if err != nil {
		return err
	}
	done := cleared{[]stored{}, []stored{}}
	since := time.Now().Add(-old)
	for _, kind := range kinds {
		if err := done.clear(c, kind, since); err != nil {
			return failure{err}
		}
	}
	if f.json {
		return asFailure(report.WriteJSON(stdout, done))
	}
	for i := range done.InUse {
		fmt.Fprintf(stderr, "kas: %s: in use, not removed\n", done.InUse[i].name())
	}
	_, err = fmt.Fprintf(stdout, "removed %s in %s\n", sizeText(total(done.Removed)),
		countText(done.Removed, kinds))
	return asFailure(err)
}

// clear removes what is of a kind and was not used since a time.
func (d *cleared) clear(c *packages.Cache, kind string, since time.Time) error {
	if kind == keptPackages {
		removed, inUse, err := c.Clear(since)
		for i := range removed {
			d.Removed = append(d.Removed, newStored(&removed[i]))
		}
		for i := range inUse {
			d.InUse = append(d.InUse, newStored(&inUse[i]))
		}
		return err
	}
	all, err := listStored(c)
	for _, s := range all {
		if s.Kind != kind || !s.Used.Before(since) {
			continue
		}
		switch removed, err := removeStored(&s); {
		case err != nil:
			return err
		case removed:
			d.Removed = append(d.Removed, s)
		default:
			d.InUse = append(d.InUse, s)
		}
	}
	return err
}

// parseAge parses a time like 30m, 36h or 7d.
func parseAge(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is no time: want one like 36h or 7d", text)
	}
	return d, nil
}

func total(all []stored) (n int64) {
	for _, s := range all {
		n += s.Bytes
	}
	return n
}

// countText returns how many there are of each of some kinds, as in "2 packages, 1 registry".
func countText(all []stored, kinds []string) string {
	n := map[string]int{}
	for _, s := range all {
		n[s.Kind]++
	}
	var texts []string
	for _, kind := range kinds {
		texts = append(texts, kindText(kind, n[kind]))
	}
	return strings.Join(texts, ", ")
}

// kindText returns a number of things of a kind.
func kindText(kind string, n int) string {
	words := map[string][2]string{
		keptPackages: {"package", "packages"}, keptRegistries: {"registry", "registries"},
		keptRuns:       {"note of a run", "notes of runs"},
		keptDebuginfod: {"build ID of debuginfod", "build IDs of debuginfod"},
	}[kind]
	if n == 1 {
		return "1 " + words[0]
	}
	return fmt.Sprintf("%d %s", n, words[1])
}

// sizeText returns a size in bytes for people.
func sizeText(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}

// cacheText prints a table: a line for each package and each registry, and one for all of another
// kind. Then comes a sum of the packages, which have a limit.
func cacheText(w io.Writer, c *packages.Cache, all []stored) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(all) > 0 {
		fmt.Fprintln(t, "size\tused\tkind\tname")
	}
	of := map[string][]stored{}
	for i := range all {
		s := &all[i]
		of[s.Kind] = append(of[s.Kind], *s)
		if s.Kind == keptPackages || s.Kind == keptRegistries {
			fmt.Fprintf(t, "%s\t%s\t%s\t%.46s\n", sizeText(s.Bytes), s.Used.Format(time.DateOnly),
				s.Kind, s.name())
		}
	}
	for _, kind := range []string{keptRuns, keptDebuginfod} {
		if n := len(of[kind]); n > 0 {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", sizeText(total(of[kind])),
				of[kind][0].Used.Format(time.DateOnly), kind, kindText(kind, n))
		}
	}
	unpacked := of[keptPackages]
	fmt.Fprintf(t, "%s of %s in %s, below %s\n", sizeText(total(unpacked)), sizeText(c.Limit),
		kindText(keptPackages, len(unpacked)), c.Dir)
	return asFailure(t.Flush())
}

func cacheJSON(w io.Writer, c *packages.Cache, all []stored) error {
	list := struct {
		Dir      string   `json:"dir"`
		Limit    int64    `json:"limit"`
		Packages []stored `json:"packages"`
		Others   []stored `json:"others"`
	}{c.Dir, c.Limit, []stored{}, []stored{}}
	for _, s := range all {
		if s.Kind == keptPackages {
			list.Packages = append(list.Packages, s)
		} else {
			list.Others = append(list.Others, s)
		}
	}
	return asFailure(report.WriteJSON(w, list))
}
