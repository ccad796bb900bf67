package registry

import (
	"os"
	"testing"
)

// BenchmarkLookup reads the registry of a real kernel: KAS_REGISTRY, which make bench sets.
func BenchmarkLookup(b *testing.B) {
	path := os.Getenv("KAS_REGISTRY")
	if path == "" {
		b.Skip("KAS_REGISTRY is not set")
	}
	for _, pattern := range []string{
		"name_show@drivers_pnp_card_c_186", "name_show@drivers*", "*name_show*",
		"drivers/pnp/card.c:186", "0xffffffff816807f4", "xfs.ko",
	} {
		b.Run(pattern, func(b *testing.B) {
			for b.Loop() {
				all, err := OpenForLookup([]string{path})
				if err != nil {
					b.Fatal(err)
				}
				if found, err := all[0].Lookup(pattern); err != nil || len(found) == 0 {
					b.Fatal(err, "nothing found")
				}
				CloseAll(all)
			}
		})
	}
}
