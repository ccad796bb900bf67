package elf

import "bytes"

// ModuleName returns the name that the kernel gives a module: "name" of .modinfo, or else the name
// in its struct module, the content of .gnu.linkonce.this_module. It returns "" if the object has
// neither, as before the final link. Modpost makes both from the name of the file.
func (f *File) ModuleName() string {
	if name := f.Modinfo("name"); name != "" {
		return name
	}
	data, err := f.Data(f.Section(".gnu.linkonce.this_module"))
	if err != nil {
		return ""
	}
	// struct module begins with the state (an enum), a list_head of two pointers, and
	// char name[MODULE_NAME_LEN], which is 64 less the size of a long.
	at, length := 12, 60
	if f.Is64 {
		at, length = 24, 56
	}
	if len(data) < at+length {
		return ""
	}
	name, _, ended := bytes.Cut(data[at:at+length], []byte{0})
	if !ended || bytes.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return ""
	}
	return string(name)
}
