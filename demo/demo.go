// Package demo carries five small kernels, so that kas can be seen at work
// without a kernel tree or a compiler.
//
// Each build below matrix has a vmlinux and thirteen modules with DWARF 5,
// linked from the same sources in src by another toolchain or for another
// architecture: gcc, clang with control flow integrity, clang with monolithic
// LTO, arm64 with a vmlinux of type ET_DYN, and big-endian s390x with
// compressed modules. The sources repeat what makes duplicates in real
// kernels: static functions of one name, functions of headers, a C file
// included by another, functions made by a macro, one source in two modules,
// local functions of assembly.
//
// The Makefile beside this file builds matrix again, byte for byte with the
// versions it names, and the folder expected, which says where each duplicate
// is declared according to llvm-dwarfdump.
package demo

import "embed"

// ConfigFile is the name of the configuration in FS; its paths are relative
// to the root of FS.
const ConfigFile = "demo.yaml"

// FS holds demo.yaml, the builds it names and their sources.
//
//go:embed demo.yaml matrix src
var FS embed.FS
