// Package demo embeds five small kernels, so that kas demo needs no kernel tree and no compiler.
//
// Each build in matrix has a vmlinux and thirteen modules with DWARF 5. All are linked from the
// sources in src, by different toolchains and for different architectures: gcc, clang with control
// flow integrity, clang with monolithic LTO, arm64 with a vmlinux of type ET_DYN, and big-endian
// s390x with compressed modules. The sources have what makes duplicates in real kernels: static
// functions of one name, functions of headers, a C file that another one includes, functions that a
// macro makes, one source in two modules, and local functions of assembly.
//
// The Makefile in this folder builds matrix again, byte for byte with the tool versions that it
// names. It also builds the folder expected: the location of each duplicate by llvm-dwarfdump.
package demo

import "embed"

// ConfigFile is the name of the configuration in FS. Its paths are relative to the root of FS.
const ConfigFile = "demo.yaml"

// FS has demo.yaml, the builds that it names, and their sources.
//
//go:embed demo.yaml matrix src
var FS embed.FS
