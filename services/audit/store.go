package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

const chunkBytes = 8 << 10

// store keeps chunks of chunkBytes. The first stand in memory, up to limit; the others in a temporary file, in the folder that TMPDIR names.
// A chunk that was given up makes room for the next one.
type store struct {
	limit  int      // bytes
	memory [][]byte // the chunks with the first numbers
	file   *os.File // those with the others; nil: not needed yet
	free   []int    // numbers of chunks that were given up
	next   int      // the first number that was never given
}

// put keeps a chunk and returns its number.
func (s *store) put(chunk []byte) (int, error) {
	var n int
	if last := len(s.free) - 1; last >= 0 {
		n, s.free = s.free[last], s.free[:last]
	} else {
		n = s.next
		s.next++
	}
	if n < s.inMemory() {
		for len(s.memory) <= n {
			s.memory = append(s.memory, make([]byte, chunkBytes))
		}
		copy(s.memory[n], chunk)
		return n, nil
	}
	return n, s.write(n, chunk)
}

func (s *store) write(n int, chunk []byte) error {
	if s.file == nil {
		f, err := os.CreateTemp("", "erpconnector-audit-*")
		if err != nil {
			return fmt.Errorf("making a file for what does not fit into memory (TMPDIR says where): %w", err)
		}
		s.file = f
		_ = os.Remove(f.Name()) // nothing is left of it, however the process ends; close removes it where an open file must stay
	}
	_, err := s.file.WriteAt(chunk, s.offset(n))
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("the disk of %s is full: what does not fit into memory stands there, %d MiB so far; make room, or name another folder by TMPDIR: %w",
			filepath.Dir(s.file.Name()), s.offset(n)>>20, err)
	}
	if err != nil {
		return fmt.Errorf("writing what does not fit into memory to %s (TMPDIR says where): %w", s.file.Name(), err)
	}
	return nil
}

// take reads a chunk, which is given up.
func (s *store) take(n int, chunk []byte) error {
	s.free = append(s.free, n)
	if n < s.inMemory() {
		copy(chunk, s.memory[n])
		return nil
	}
	if _, err := s.file.ReadAt(chunk, s.offset(n)); err != nil {
		return fmt.Errorf("reading what did not fit into memory from %s: %w", s.file.Name(), err)
	}
	return nil
}

// drop gives up chunks.
func (s *store) drop(chunks []int) { s.free = append(s.free, chunks...) }

func (s *store) inMemory() int { return s.limit / chunkBytes }

func (s *store) offset(n int) int64 { return int64(n-s.inMemory()) * chunkBytes }

// close gives up everything.
func (s *store) close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	if removed := os.Remove(s.file.Name()); !errors.Is(removed, fs.ErrNotExist) {
		err = errors.Join(err, removed)
	}
	return err
}
