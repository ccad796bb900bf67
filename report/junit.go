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

// check is what a build must pass.
type check struct {
	name     string
	problems []string // why it did not
}

// checks returns the checks of a build: that its run ended, that no object had a problem, and that
// its registry is whole.
func (b *output) checks() []check {
	if !b.finished {
		return []check{{"run", b.problems}}
	}
	objects, registry := b.problems, []string(nil)
	if b.damage != "" {
		last := len(b.problems) - 1
		objects, registry = b.problems[:last], b.problems[last:]
	}
	return []check{{"objects", objects}, {"registry", registry}}
}

// JUnit writes a test suite for each build, with a case for each check.
func (o *Outputs) JUnit(w io.Writer) error {
	all := junitSuites{Name: "kas"}
	for _, b := range o.builds {
		s := junitSuite{Name: b.label}
		if b.seconds != nil {
			total := 0.0
			for _, stage := range o.stages {
				total += b.seconds[stage]
			}
			s.Time = fmt.Sprintf("%.3f", total)
		}
		for _, c := range b.checks() {
			test := junitCase{Class: "kas." + b.label, Name: c.name}
			if n := len(c.problems); n > 0 {
				message := c.problems[0]
				if n > 1 {
					message = fmt.Sprintf("%s, and %d more", message, n-1)
				}
				test.Failure = &junitFailure{message, strings.Join(c.problems, "\n")}
				s.Failures++
			}
			s.Cases = append(s.Cases, test)
		}
		s.Tests = len(s.Cases)
		all.Tests += s.Tests
		all.Failures += s.Failures
		all.Suites = append(all.Suites, s)
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
