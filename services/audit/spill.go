package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

const chunkBytes = 8 << 10

// spill keeps bytes by bucket, each bucket's in the order in which they came, in bounded memory: chunkBytes a bucket, and limit for the
// chunks that are full. The other chunks stand in a temporary file, in the folder that TMPDIR names.
type spill struct {
	limit   int // bytes
	buckets []bucketBytes
	memory  [][]byte // the chunks with the first numbers
	file    *os.File // those with the others; nil: not needed yet
	free    []int    // numbers of chunks that were given up
	next    int      // the first number that was never given
}

// bucketBytes are the bytes of one bucket: its full chunks, by number, and what is in none yet.
type bucketBytes struct {
	full []int
	tail []byte
}

func newSpill(buckets, limit int) *spill {
	return &spill{limit: limit, buckets: make([]bucketBytes, buckets)}
}

// add adds bytes to a bucket. The caller may use b again.
func (s *spill) add(bucket int, b []byte) error {
	into := &s.buckets[bucket]
	for len(into.tail)+len(b) >= chunkBytes {
		fits := chunkBytes - len(into.tail)
		into.tail = append(into.tail, b[:fits]...)
		b = b[fits:]
		n, err := s.store(into.tail)
		if err != nil {
			return err
		}
		into.full, into.tail = append(into.full, n), into.tail[:0]
	}
	into.tail = append(into.tail, b...)
	return nil
}

// take returns the bytes of a bucket, which is empty after it.
func (s *spill) take(bucket int) ([]byte, error) {
	from := &s.buckets[bucket]
	all := make([]byte, 0, len(from.full)*chunkBytes+len(from.tail))
	for _, n := range from.full {
		at := len(all)
		all = all[:at+chunkBytes]
		if err := s.load(n, all[at:]); err != nil {
			return nil, err
		}
	}
	all = append(all, from.tail...)
	s.drop(bucket)
	return all, nil
}

// drop empties a bucket.
func (s *spill) drop(bucket int) {
	s.free = append(s.free, s.buckets[bucket].full...)
	s.buckets[bucket] = bucketBytes{}
}

// reset empties all buckets.
func (s *spill) reset() {
	for n := range s.buckets {
		s.drop(n)
	}
}

// store keeps a full chunk and returns its number.
func (s *spill) store(chunk []byte) (int, error) {
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
	if s.file == nil {
		f, err := os.CreateTemp("", "erpconnector-audit-*")
		if err != nil {
			return 0, fmt.Errorf("making a file for what does not fit into memory (TMPDIR says where): %w", err)
		}
		s.file = f
		_ = os.Remove(f.Name()) // nothing is left of it, however the process ends; close removes it where an open file must stay
	}
	if _, err := s.file.WriteAt(chunk, s.offset(n)); err != nil {
		return 0, fmt.Errorf("writing what does not fit into memory to %s (TMPDIR says where): %w", s.file.Name(), err)
	}
	return n, nil
}

func (s *spill) load(n int, chunk []byte) error {
	if n < s.inMemory() {
		copy(chunk, s.memory[n])
		return nil
	}
	if _, err := s.file.ReadAt(chunk, s.offset(n)); err != nil {
		return fmt.Errorf("reading what did not fit into memory from %s: %w", s.file.Name(), err)
	}
	return nil
}

func (s *spill) inMemory() int { return s.limit / chunkBytes }

func (s *spill) offset(n int) int64 { return int64(n-s.inMemory()) * chunkBytes }

// close gives up everything.
func (s *spill) close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	if removed := os.Remove(s.file.Name()); !errors.Is(removed, fs.ErrNotExist) {
		err = errors.Join(err, removed)
	}
	return err
}
