package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// The report as CI systems read it. JUnit's format has no specification; these are the elements and
// attributes that Jenkins, GitLab and GitHub actions read.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Time     string      `xml:"time,attr,omitempty"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Failure *junitFailure `xml:"failure"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// Check is what a build must pass.
type Check struct {
	Build, Name string
	Problems    []string // why it did not
}

// checks returns the checks of a build: that its run ended, that no object had a problem, and that
// its registry is whole.
func (b *output) checks() []Check {
	if !b.finished {
		return []Check{{b.label, "run", b.problems}}
	}
	objects, registry := b.problems, []string(nil)
	if b.damage != "" {
		last := len(b.problems) - 1
		objects, registry = b.problems[:last], b.problems[last:]
	}
	return []Check{{b.label, "objects", objects}, {b.label, "registry", registry}}
}

// JUnit writes a test suite for each build, with a case for each check.
func (o *Outputs) JUnit(w io.Writer) error {
	var all []Check
	times := map[string]string{}
	for _, b := range o.builds {
		if b.seconds != nil {
			total := 0.0
			for _, stage := range o.stages {
				total += b.seconds[stage]
			}
			times[b.label] = fmt.Sprintf("%.3f", total)
		}
		all = append(all, b.checks()...)
	}
	return writeJUnit(w, "kas", all, times)
}

// JUnit writes a test suite for each build of the checks, which are in the order of the builds. The
// title is that of all suites.
func JUnit(w io.Writer, title string, checks []Check) error {
	return writeJUnit(w, title, checks, nil)
}

// writeJUnit writes the checks; times has the seconds of builds.
func writeJUnit(w io.Writer, title string, checks []Check, times map[string]string) error {
	all := junitSuites{Name: title}
	for _, c := range checks {
		last := len(all.Suites) - 1
		if last < 0 || all.Suites[last].Name != c.Build {
			all.Suites = append(all.Suites, junitSuite{Name: c.Build, Time: times[c.Build]})
			last++
		}
		s := &all.Suites[last]
		test := junitCase{Class: "kas." + c.Build, Name: c.Name}
		if n := len(c.Problems); n > 0 {
			message := c.Problems[0]
			if n > 1 {
				message = fmt.Sprintf("%s, and %d more", message, n-1)
			}
			test.Failure = &junitFailure{message, strings.Join(c.Problems, "\n")}
			s.Failures++
			all.Failures++
		}
		s.Cases = append(s.Cases, test)
		s.Tests++
		all.Tests++
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
