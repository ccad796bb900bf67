#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the expected locations of the fixtures, from tools other than kas.

    decl.py OBJECT...    writes NAME.decl.txt beside NAME.o or NAME.elf

It writes one line for each function with code and each variable of file scope
with an address, in the order of .debug_info. One space separates the fields:

    NAME FILE LINE UNIT SECTION ADDRESS OPENING

FILE and UNIT are absolute. LINE is that of the declaration. For Rust, NAME is
the mangled name, and UNIT has no name of a codegen unit. SECTION and ADDRESS
(hexadecimal, the offset in the section) are where the code starts; a function
with several ranges has a line for each; variables have "- -". OPENING is the
line of the first row where the function is entered, a statement if there is
one; it is LINE if that row is in another file or before LINE. A missing name or
file is "-", a missing line 0. Functions of assembly are subprograms (gas) or
labels (clang) with LINE 0: gas writes no line, and clang counts the lines of
the preprocessed text.

It reads the output of llvm-dwarfdump-19 -v, which applies relocations for every
architecture, and of llvm-readelf-19. demo/expected.py imports this file.
"""
import bisect
import collections
import json
import posixpath
import re
import subprocess
import sys

LLVM = "-19"

Function = collections.namedtuple(
    "Function", "name file line unit section address opening")


def run(tool, *args):
    return subprocess.run([tool + LLVM, *args], check=True,
                          capture_output=True, text=True, errors="replace").stdout


def readelf(path, *args):
    text = run("llvm-readobj", "--elf-output-style=JSON", *args, path)
    return json.loads(text)[0]


def sections(path):
    return [s["Section"] for s in readelf(path, "-S")["Sections"]]


def relocatable(path):
    return readelf(path, "-h")["ElfHeader"]["Type"].startswith("Relocatable")


def symbols(path):
    return [s["Symbol"] for s in readelf(path, "--symbols")["Symbols"]]


def dies(path):
    """Yields (offset, depth, tag, attributes) of .debug_info; text values.

    offset is a pair: sections of type units have offsets of their own."""
    die, attribute, section, last = None, None, 0, 0
    for line in run("llvm-dwarfdump", "-v", "--debug-info", path).splitlines():
        m = re.match(r"0x([0-9a-f]+): ( *)DW_TAG_(\w+)", line)
        if m:
            if die:
                yield die
            if int(m[1], 16) < last:
                section += 1
            last = int(m[1], 16)
            die = ((section, last), len(m[2]) // 2, m[3], {})
            continue
        m = re.match(r" +DW_AT_(\w+) \[DW_FORM_\w+\]\s+(.*)", line)
        if m and die:
            attribute = m[1]
            die[3][attribute] = m[2]
        elif die and attribute == "ranges" and line.strip().startswith("["):
            die[3]["ranges"] += "\n" + line
    if die:
        yield die


def quoted(text):
    m = re.search(r'"([^"]*)"\)?$', text or "")
    return m[1] if m else None


def reference(text):
    m = re.search(r"\{0x([0-9a-f]+)\}", text) or re.search(r"0x([0-9a-f]+)", text)
    return int(m[1], 16)


def places(attributes):
    """The starts of the code of a subprogram: [(section, address)]."""
    if "low_pc" in attributes:
        m = re.search(r'0x([0-9a-f]+)(?: "([^"]*)")?\)$', attributes["low_pc"])
        if m and int(m[1], 16) != 0xffffffffffffffff:
            return [(m[2] or "-", int(m[1], 16))]
    return [(m[3] or "-", int(m[1], 16)) for m in re.finditer(
        r'\[0x([0-9a-f]+), 0x([0-9a-f]+)\)(?: "([^"]*)")?',
        attributes.get("ranges", "")) if m[1] != m[2]]


def line_relocations(path):
    """{offset in .debug_line: name of the section an address lies in}"""
    names = {i: s["Name"]["Name"] for i, s in enumerate(sections(path))}
    where = {i: s["Section"]["Value"] for i, s in enumerate(symbols(path))}
    found = {}
    for table in readelf(path, "-r", "--expand-relocs").get("Relocations", []):
        if not names[table["SectionIndex"]] in (".rela.debug_line", ".rel.debug_line"):
            continue
        for r in table["Relocs"]:
            r = r["Relocation"]
            section = where.get(r["Symbol"]["Value"])
            found.setdefault(r["Offset"], names.get(section, "-"))
    return found


def rows(path):
    """{(table, section or None, address): (file, line)} of the first row.

    The first row at an address may be the last one of the function before
    (gcc on s390x), but a function starts with a statement: a row that is
    one goes before one that is not."""
    relocations = line_relocations(path) if relocatable(path) else {}
    first, others, table, folders, files = {}, {}, None, {}, {}
    version, section, name, last = 0, None, None, None
    for line in run("llvm-dwarfdump", "-v", "--debug-line", path).splitlines():
        if m := re.match(r"debug_line\[0x([0-9a-f]+)\]", line):
            table, folders, files, section = int(m[1], 16), {}, {}, None
        elif m := re.match(r"\s+version: (\d+)", line):
            version = int(m[1])
        elif m := re.match(r"include_directories\[ *(\d+)\] = (.*)", line):
            folders[int(m[1])] = quoted(m[2])
        elif m := re.match(r"file_names\[ *(\d+)\]:", line):
            last = int(m[1])
        elif m := re.match(r"\s+name: (.*)", line):
            name = quoted(m[1])
        elif m := re.match(r"\s+dir_index: (\d+)", line):
            folder = folders.get(int(m[1]), "")
            if version >= 5:
                folder = posixpath.join(folders.get(0, ""), folder)
            files[last] = posixpath.join(folder, name)
        elif m := re.match(r"0x([0-9a-f]+): 00 DW_LNE_set_address", line):
            section = relocations.get(int(m[1], 16) + 3)
        elif m := re.match(r"\s+0x([0-9a-f]+) +(\d+) +\d+ +(\d+) ", line):
            if "end_sequence" not in line:
                rows = first if " is_stmt" in line else others
                key = (table, section, int(m[1], 16))
                rows.setdefault(key, (files.get(int(m[3]), ""), int(m[2])))
    return others | first


def entry(name, where, named):
    """Of several ranges the one at which the symbol of the whole function is."""
    if len(where) < 2:
        return None
    for place in where:
        for symbol in named.get(place, ()):
            parts = symbol.split(".")
            if parts[0] == name and not {"cold", "__part"} & set(parts):
                return place
    return None


def is_rust(unit):
    return "DW_LANG_Rust" in unit.get("language", "")


def unit_name(unit):
    name = quoted(unit.get("name")) or "-"
    return name.rpartition("/@/")[0] or name if is_rust(unit) else name


def declarations(path):
    """Every function with code and every placed variable of file scope."""
    known = {d[0]: d for d in dies(path)}
    linked = not relocatable(path)
    first = rows(path)
    named = {}
    for s in symbols(path):
        section = "-" if linked else s["Section"]["Name"]
        named.setdefault((section, s["Value"]), []).append(s["Name"]["Name"])
    loaded = [(s["Name"]["Name"], s["Address"], s["Address"] + s["Size"])
              for s in sections(path) if s["Flags"]["Value"] & 2]

    def attribute(die, name):
        seen = set()
        while die and die[0] not in seen:
            seen.add(die[0])
            if name in die[3]:
                return die[3][name]
            link = die[3].get("abstract_origin") or die[3].get("specification")
            die = known.get((die[0][0], reference(link))) if link else None
        return None

    def compiled(die, unit):
        """The unit, or, where gcc's LTO made one up, that of the origin."""
        while posixpath.basename(unit) == "<artificial>":
            link = die[3].get("abstract_origin")
            die = known.get((die[0][0], reference(link))) if link else None
            if not die:
                break
            unit = units[bisect.bisect_right(starts, die[0]) - 1][1]
        return unit

    units = []
    for die in known.values():
        if die[2] in ("compile_unit", "type_unit", "partial_unit"):
            folder = quoted(die[3].get("comp_dir")) or ""
            name = unit_name(die[3])
            units.append((die[0], posixpath.normpath(posixpath.join(folder, name))))
    starts = [u[0] for u in units]

    found, folder, unit, table, rust = [], "", "", 0, False
    for die in known.values():
        _, depth, tag, attributes = die
        if tag in ("compile_unit", "type_unit", "partial_unit"):
            folder = quoted(attributes.get("comp_dir")) or ""
            name, rust = unit_name(attributes), is_rust(attributes)
            unit = posixpath.normpath(posixpath.join(folder, name))
            text = attributes.get("stmt_list", "0x0")
            table = int(re.search(r"0x([0-9a-f]+)", text)[1], 16)
            continue
        if tag == "subprogram" or tag == "label" and depth == 1:
            where = places(attributes)
        elif tag == "variable" and (depth == 1 or rust) and "DW_OP_addr" in attributes.get("location", ""):
            if linked and attributes["location"].endswith("DW_OP_addr 0x0)"):
                continue  # dropped by the linker
            where = [("-", None)]
        else:
            continue
        name = quoted(attribute(die, "name"))
        if rust:
            name = quoted(attribute(die, "linkage_name")) or name
        if name is None:
            continue
        file = quoted(attribute(die, "decl_file"))
        file = posixpath.normpath(posixpath.join(folder, file)) if file else unit
        line = int((attribute(die, "decl_line") or "0").strip("()"), 0)
        if tag == "label":
            line = 0
        start = entry(name, where, named)
        for section, address in where:
            if linked and address is not None:
                section = next((n for n, start, end in loaded if start <= address < end), None)
                if section is None:
                    continue  # dropped by the linker
            opening = line
            at = start or (section, address)
            row = first.get((table, None if linked else at[0], at[1]))
            if row and row[1] >= line and posixpath.normpath(posixpath.join(folder, row[0])) == file:
                opening = row[1]
            found.append(Function(name, file, line, compiled(die, unit), section, address, opening))
    return found


def main():
    for path in sys.argv[1:]:
        with open(re.sub(r"\.\w+$", "", path) + ".decl.txt", "w") as out:
            for f in declarations(path):
                address = "-" if f.address is None else "%x" % f.address
                print(f.name, f.file, f.line, f.unit, f.section, address, f.opening, file=out)


if __name__ == "__main__":
    main()
