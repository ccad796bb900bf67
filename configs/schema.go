package configs

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// schemaDialect is the version of JSON Schema that Schema uses.
const schemaDialect = "https://json-schema.org/draft/2020-12/schema"

// Schema returns a JSON Schema of the configuration, for editors: a value that encoding/json
// writes. It follows the types that a configuration is decoded into. What needs more than one key
// or the file system to be known, only Load checks.
func Schema() map[string]any {
	root := schemaOf(reflect.TypeFor[fileKeys](), "", "", false)
	root["$schema"], root["title"] = schemaDialect, "A configuration of kas"
	root["required"] = []string{"version"}
	root["patternProperties"] = schema{"^x-": true}
	return root
}

type schema = map[string]any

// schemaOf returns the schema of the value of a key that is decoded into a variable of type t. path
// is that of the key in descriptions. In the template of a matrix, an enumeration may be a
// placeholder.
func schemaOf(t reflect.Type, path, enum string, template bool) schema {
	switch t {
	case reflect.TypeFor[string]():
		if enum != "" {
			return choices(enum, template)
		}
		return schema{"type": "string", "minLength": 1}
	case reflect.TypeFor[int]():
		if path == "version" {
			return schema{"const": 1}
		}
		return schema{"type": "integer", "minimum": 0}
	case reflect.TypeFor[bool]():
		return schema{"type": "boolean"}
	case reflect.TypeFor[Names]():
		globs := schema{"type": "array", "items": schema{"type": "string"}, "minItems": 1}
		return schema{"anyOf": []schema{choices("names", template), globs}}
	case reflect.TypeFor[Limit]():
		number := schema{"type": "integer", "minimum": 0}
		if enum == "" {
			return number
		}
		return schema{"anyOf": []schema{number, choices(enum, template)}}
	case reflect.TypeFor[Never]():
		s := schemaOf(reflect.TypeFor[neverKeys](), path, "", template)
		s["not"] = schema{"required": []string{"add", "replace"}}
		return s
	case reflect.TypeFor[[]string]():
		if enum != "" {
			return schema{"type": "array", "items": choices(enum, template), "minItems": 1,
				"uniqueItems": true}
		}
		text := schema{"type": "string", "minLength": 1}
		return schema{"anyOf": []schema{text, {"type": "array", "items": text}}}
	case reflect.TypeFor[[]*yaml.Node]():
		s := schema{"type": "array", "items": nodeSchema(path, enum, template)}
		if path != "matrix.exclude" {
			s["minItems"] = 1
		}
		return s
	case reflect.TypeFor[*yaml.Node]():
		return nodeSchema(path, enum, true)
	}
	return objectSchema(t, path, template)
}

// objectSchema returns the schema of a mapping that is decoded into a struct.
func objectSchema(t reflect.Type, path string, template bool) schema {
	properties := schema{}
	keys, fields := keysOf(t)
	for _, key := range keys {
		f, at := fields[key], key
		if path != "" {
			at = path + "." + key
		}
		s := schemaOf(f.Type, at, f.Tag.Get("enum"), template)
		s["description"] = description(at)
		properties[key] = s
	}
	return schema{"type": "object", "properties": properties, "additionalProperties": false}
}

// nodeSchema returns the schema of an item of a list, or of a value, that is decoded later.
func nodeSchema(path, enum string, template bool) schema {
	switch path {
	case "builds", "matrix.build":
		s := objectSchema(reflect.TypeFor[buildKeys](), "builds", template)
		s["required"] = []string{"name"}
		s["anyOf"] = []schema{{"required": []string{"vmlinux"}}, {"required": []string{"modules"}},
			{"required": []string{"package"}}}
		if path == "builds" {
			s["anyOf"] = append(s["anyOf"].([]schema), schema{"required": []string{"glob"}})
		}
		return s
	case "matrix":
		s := objectSchema(reflect.TypeFor[matrixKeys](), path, template)
		s["required"] = []string{"build"}
		s["additionalProperties"] = schema{"type": "array", "items": scalar, "minItems": 1,
			"uniqueItems": true} // an axis of its own
		s["minProperties"] = 2
		return s
	case "matrix.exclude":
		s := objectSchema(reflect.TypeFor[excludeKeys](), path, template)
		s["additionalProperties"] = scalar
		return s
	case "builds.glob", "matrix.build.glob":
		return schema{"type": "string", "minLength": 1}
	}
	return choices(enum, template)
}

// scalar is the schema of a value of an axis that is for names and paths only.
var scalar = schema{"type": []string{"string", "number", "boolean"}}

// choices returns the schema of an enumeration.
func choices(enum string, template bool) schema {
	values := slices.Clone(enums[enum])
	if enum == "arch" {
		values = append(values, slices.Sorted(maps.Keys(archNames))...)
	}
	s := schema{"enum": values}
	if template {
		placeholder := schema{"type": "string", "pattern": `\{[a-z]+\}`}
		return schema{"anyOf": []schema{s, placeholder}}
	}
	return s
}

// description returns what an editor shows about a key. A key of a build that holds for all builds,
// too, has one description.
func description(path string) string {
	if text := descriptions[path]; text != "" {
		return text
	}
	return descriptions[strings.TrimPrefix(path, "builds.")]
}

// descriptions say what each key means, by its path. docs/configuration.md says more.
var descriptions = map[string]string{
	"version":  "version of this format",
	"out":      "folder for the output; each build gets a folder below it",
	"jobs":     "workers for all builds and objects together; 0 means all cores",
	"on_error": "what to do after the first damaged object",
	"stages":   "stages to run, in this order; emit may be left out before stats",
	"debug":    "folders with the debug files of stripped objects",
	"builds":   "the kernels",
	"matrix":   "templates that are expanded into builds",

	"alias":             "which symbols get an alias and how it is spelled",
	"alias.separator":   "text between name and location",
	"alias.line":        "line in the alias: of the first instruction, of the declaration, or none",
	"alias.symbols":     "which duplicates get an alias: functions, variables or both",
	"alias.names":       "duplicates, all names, or duplicates and the names that match globs",
	"alias.max_length":  "longest alias in bytes; 0 means the limit of the kernel's release",
	"alias.never":       "regular expressions of names that get no alias",
	"alias.suffix_free": "give foo.llvm.123 the alias foo if no other symbol has that name",

	"alias.never.add":     "in addition to the built-in ones",
	"alias.never.replace": "instead of the built-in ones",

	"emit":           "what is written",
	"emit.beside":    "write X.ko.kas beside X.ko, not below out",
	"emit.unaliased": "what a module without aliases gets: nothing, or a link",

	"report":            "files of the report that a run writes at its end, not below out",
	"report.html":       "a page",
	"report.junit":      "checks for CI, as JUnit XML",
	"report.prometheus": "metrics in the text format",
	"report.csv":        "a row of counts for each build",
	"report.sqlite":     "a database of all symbols",
	"report.history":    "folder with the stats.json of earlier runs",

	"gate":               "rules that kas gate checks",
	"gate.verify":        "whether kas verify must prove the output",
	"gate.problems":      "most errors and unreadable objects of a build",
	"gate.unreadable":    "most unreadable objects of a build",
	"gate.without_alias": "most duplicates of a build without an alias",
	"gate.missing":       "most builds that only the earlier run has",
	"gate.moved":         "most aliases of a build that no longer hold",
	"gate.reused":        "most aliases of a build that name another symbol now",
	"gate.undecided":     "most aliases of a build that cannot be followed",
	"gate.ambiguous":     "most names of functions that became ambiguous in a build",
	"gate.fail_on":       "kinds of differences that fail, as for kas diff --fail-on",

	"builds.name":      "name of the build and of its folder below out",
	"builds.arch":      "architecture; other objects are refused",
	"builds.toolchain": "compiler",
	"builds.lto":       "kind of link-time optimization",
	"builds.vmlinux":   "vmlinux with debugging information, or a glob that matches one file",
	"builds.modules":   "modules: list files, folders, files and globs",
	"builds.package":   "packages, .deb or .rpm: files and globs",
	"builds.source":    "source roots in the debugging information",
	"builds.glob":      "one build for each match; {1}, {2} are what * and ? matched",
	"builds.optional":  "skip the build if none of its files exists",

	"matrix.arch":      "architectures, for {arch}",
	"matrix.toolchain": "compilers, for {toolchain}",
	"matrix.lto":       "kinds of link-time optimization, for {lto}",
	"matrix.exclude":   "combinations that are no builds",
	"matrix.build":     "the template of the builds",

	"matrix.exclude.arch":      "architecture",
	"matrix.exclude.toolchain": "compiler",
	"matrix.exclude.lto":       "kind of link-time optimization",
}
