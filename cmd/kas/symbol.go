package main

import (
	"fmt"

	"kas/registry"
)

// symbolJSON is a symbol of a registry for programs.
type symbolJSON struct {
	Registry string `json:"registry,omitempty"` // which has it; only in lookup
	Name     string `json:"name"`
	// As the source spells it; only of Rust.
	Demangled string `json:"demangled,omitempty"`
	Alias     string `json:"alias,omitempty"`
	Late      bool   `json:"late,omitempty"`
	Object    string `json:"object"`
	Module    string `json:"module,omitempty"`
	Section   string `json:"section"`
	Address   string `json:"address"`          // hexadecimal, since a JSON number may lose bits
	Offset    uint64 `json:"offset,omitempty"` // of the address that was looked up
	Size      uint64 `json:"size"`
	Type      string `json:"type"`
	Count     int    `json:"count"`
	Position  int    `json:"position"`
	Base      string `json:"base"`
	File      string `json:"file,omitempty"`
	Line      int64  `json:"line,omitempty"`
	Unit      string `json:"unit,omitempty"`
	Source    string `json:"source,omitempty"`
	BTF       uint32 `json:"btf_id,omitempty"` // only in lookup --long
}

func newSymbolJSON(r *registry.Record) symbolJSON {
	return symbolJSON{
		Name: r.Name, Demangled: registry.Demangled(r.Name), Alias: r.Alias, Late: r.Late(),
		Object: r.Object, Module: r.Module(),
		Section: r.Section, Address: fmt.Sprintf("%x", r.Address), Offset: r.Offset, Size: r.Size,
		Type: string(rune(r.Type)), Count: r.Count, Position: r.Position, Base: r.BaseName(),
		File: r.File, Line: r.Line, Unit: r.Unit, Source: r.Method,
	}
}

// symbolsJSON converts records. The result is never nil, so JSON has [] and not null.
func symbolsJSON(records []registry.Record) []symbolJSON {
	all := make([]symbolJSON, len(records))
	for i := range records {
		all[i] = newSymbolJSON(&records[i])
	}
	return all
}
