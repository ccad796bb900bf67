package kbuild

import (
	"io"
	"os"
	"path/filepath"

	"kas/pipeline"
)

// memory is where a call of a hook leaves what later calls need: files in the build folder or, with
// make M=, in the folder of the modules. Between two makes they can be removed at any time; the
// next call does its work again. Their names begin with .tmp_kas_, because `make clean` removes
// regular files named .tmp_* (Makefile of Linux, since 6.1), and git does not see them.
//
//	first      The duplicates of the first image of vmlinux, in table order, with their aliases.
//	           Written by LD or NM for the first image, which remove the old file first.
//	           Read by NM for the first image, if LD wrote it, and all others.
//	           Invalid if the image that its first line names was removed or linked again.
//
//	slow       Empty. The duplicates of vmlinux.o are not those of the images.
//	           Written by NM for vmlinux, read by LD and NM.
//
//	emitted    The state of the tree with a digest of this file and globals, and for each module
//	           the identities of X.o and X.o.kas.
//	           Written when the copies are made, as the last step. Removed as the first.
//	           Read by LD, Object and Finish.
//	           Invalid if the state of the tree (session.state), X.o or X.o.kas is another now, or
//	           if the digest is wrong.
//
//	globals    The aliases of the modules' global symbols.
//	           Written with the copies, before emitted.
//	           Read by LD and Finish.
//	           Valid as long as emitted is, which has its digest.
//
//	stale      The state of the tree, and the modules that are reported to lack aliases.
//	           Written by NM and LD.
//	           Read by LD, which does not report them again in the same state.
//
//	NAME_KAS   What a run of the stages leaves for the next run of that name by the same kas.
//	           Written and read by pipeline.Run.
//	           Each entry names the state of the file that it describes: pipeline/state.go.
//
// The folder is the lock for emitted, globals and the copies (pipeline.LockWait).
type memory struct{ dir string }

const (
	firstFile   = "first"
	emittedFile = "emitted"
	globalsFile = "globals"
	staleFile   = "stale"
	slowFile    = "slow"
)

func memoryOf(t tree) memory {
	if t.ext != "" {
		return memory{t.ext}
	}
	return memory{t.dir}
}

func (m memory) path(name string) string { return filepath.Join(m.dir, ".tmp_kas_"+name) }

// state returns the file for the state of a run by the kas of that identifier.
func (m memory) state(run, kas string) string {
	return m.path(run + "_" + pipeline.Digest(kas)[:8])
}

// forget removes a file, if it is there.
func (m memory) forget(name string) error { return pipeline.RemoveFile(m.path(name)) }

// write writes a file whole.
func (m memory) write(name string, text []byte) error {
	_, err := pipeline.WriteFile(m.path(name), func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
	return err
}

func (m memory) exists(name string) bool { return exists(m.path(name)) }

func (m memory) read(name string) ([]byte, error) { return os.ReadFile(m.path(name)) }
