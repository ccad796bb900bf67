#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The expected duplicates of the demo, by tools that are not kas.

    expected.py matrix/BUILD > expected/BUILD.tsv

One line for each symbol in an executable section whose base name two or more
symbols of the build carry (vmlinux and all modules, symbols of any type):

    symbol base object section address file line opening unit subprogram

tab-separated, under a header line; objects as kas names them, then by index
in the symbol table. address is virtual in vmlinux, an offset in the section
in a module. file, line, unit: where the subprogram that owns the symbol is
declared and what compiled it, relative to the source root; line 0 for
assembly. opening is the first line-table row at the subprogram's start if it
is in the file and not before the declaration. "-" if no subprogram starts in
[address, address + size). Whether a symbol gets an alias is not considered.
"""
import gzip
import lzma
import os
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../elf/testdata"))
import decl  # noqa: E402

ROOT = "/build/linux/"
ALLOC, EXEC = 2, 4


def objects(folder):
    """vmlinux, then the modules, sorted by name: [(name, path)]"""
    found = []
    modules = os.path.join(folder, "modules")
    for at, _, names in os.walk(modules):
        found += [os.path.join(at, n) for n in names if ".ko" in n]
    found = sorted((os.path.relpath(p, modules), p) for p in found)
    return [("vmlinux", os.path.join(folder, "vmlinux"))] + found


def unpacked(path, temp):
    if path.endswith((".ko", "vmlinux")):
        return path
    if path.endswith(".gz"):
        data = gzip.open(path).read()
    elif path.endswith(".xz"):
        data = lzma.open(path).read()
    else:
        data = subprocess.run(["zstd", "-dcq", path], check=True, capture_output=True).stdout
    with open(temp, "wb") as out:
        out.write(data)
    return temp


def base(name, kind, lto):
    """The name without its identity suffix."""
    name = re.sub(r"\.(llvm|lto_priv)\.\d+$", "", name)
    if lto or kind == "Object":
        name = re.sub(r"\.\d+$", "", name) if re.match(r"[A-Za-z_]", name) else name
    return name


def relative(path):
    return path[len(ROOT):] if path.startswith(ROOT) else path


def main():
    folder = sys.argv[1]
    lto = folder.rstrip("/").endswith("-lto")
    shown, count, owners = [], {}, {}
    with tempfile.NamedTemporaryFile(suffix=".ko") as temp:
        for name, path in objects(folder):
            path = unpacked(path, temp.name)
            flags = [s["Flags"]["Value"] for s in decl.sections(path)]
            owners[name] = decl.declarations(path)
            for s in decl.symbols(path):
                index, kind = s["Section"]["Value"], s["Type"]["Name"]
                symbol = s["Name"]["Name"]
                if not 0 < index < len(flags) or not flags[index] & ALLOC:
                    continue
                if not symbol or kind in ("File", "Section") or symbol.startswith("$"):
                    continue
                b = base(symbol, kind, lto)
                count[b] = count.get(b, 0) + 1
                if flags[index] & EXEC:
                    shown.append((symbol, b, name, s["Section"]["Name"], s["Value"], s["Size"]))

    print("symbol", "base", "object", "section", "address",
          "file", "line", "opening", "unit", "subprogram", sep="\t")
    for symbol, b, name, section, value, size in shown:
        if count[b] < 2:
            continue
        owner = [f for f in owners[name] if f.address is not None and f.section == section
                 and value <= f.address < value + max(size, 1)]
        row = ["-"] * 5
        if owner:
            f = min(owner, key=lambda f: f.address)
            row = [relative(f.file), f.line, f.opening, relative(f.unit), f.name]
        print(symbol, b, name, section, "%x" % value, *row, sep="\t")


if __name__ == "__main__":
    main()
