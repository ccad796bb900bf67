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
		Short: "List and remove unpacked packages",
		Long: `List the packages that kas unpacked into the user's cache, with the size of what
was unpacked and when a command used it for the last time. A package is unpacked
once for each content. When all together are larger than KAS_CACHE_LIMIT (a size
like 50G; default 20G), those that were not used for the longest time go.`,
		Example: `  kas cache
  kas cache clear --older-than 7d`,
		Args: argCount(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := openCache()
			if err != nil {
				return err
			}
			all, err := c.List()
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

func newCacheClear() *cobra.Command {
	var age string
	cmd := &cobra.Command{
		Use:   "clear",
		Short: "Remove unpacked packages",
		Long: `Remove the packages that kas unpacked. The next command that needs one unpacks
it again. A package that another kas uses at this moment stays.`,
		Example: `  kas cache clear
  kas cache clear --older-than 36h`,
		Args: argCount(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			old, err := parseAge(age)
			if err != nil {
				return fmt.Errorf("--older-than: %w", err)
			}
			c, err := openCache()
			if err != nil {
				return err
			}
			removed, inUse, err := c.Clear(time.Now().Add(-old))
			if err != nil {
				return failure{err}
			}
			for _, s := range inUse {
				fmt.Fprintf(cmd.ErrOrStderr(), "kas: %s: in use, not removed\n", s.Name)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "removed %s in %s\n",
				sizeText(total(removed)), countText(len(removed)))
			return err
		},
	}
	cmd.Flags().StringVar(&age, "older-than", "0s",
		"remove only what was not used for `TIME`: 30m, 36h, 7d")
	return cmd
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

func total(all []packages.Stored) (n int64) {
	for _, s := range all {
		n += s.Size
	}
	return n
}

func countText(n int) string {
	if n == 1 {
		return "1 package"
	}
	return fmt.Sprintf("%d packages", n)
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

// cacheText prints a table: the packages that were used last come first.
func cacheText(w io.Writer, c *packages.Cache, all []packages.Stored) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(all) > 0 {
		fmt.Fprintln(t, "size\tused\tdigest\tpackage")
	}
	for i := len(all) - 1; i >= 0; i-- {
		s := all[i]
		fmt.Fprintf(t, "%s\t%s\t%.8s\t%.48s\n", sizeText(s.Size),
			s.Used.Format(time.DateOnly), s.Digest, s.Name)
	}
	fmt.Fprintf(t, "%s of %s in %s, below %s\n", sizeText(total(all)), sizeText(c.Limit),
		countText(len(all)), c.Dir)
	return t.Flush()
}

func cacheJSON(w io.Writer, c *packages.Cache, all []packages.Stored) error {
	type stored struct {
		Package string    `json:"package"`
		Digest  string    `json:"sha256"`
		Bytes   int64     `json:"bytes"`
		Used    time.Time `json:"used"`
	}
	list := struct {
		Dir      string   `json:"dir"`
		Limit    int64    `json:"limit"`
		Packages []stored `json:"packages"`
	}{c.Dir, c.Limit, []stored{}}
	for i := len(all) - 1; i >= 0; i-- {
		s := all[i]
		list.Packages = append(list.Packages, stored{s.Name, s.Digest, s.Size, s.Used.UTC()})
	}
	return report.WriteJSON(w, list)
}
