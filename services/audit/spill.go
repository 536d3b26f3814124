package audit

import "encoding/binary"

// spill keeps entries by bucket, each bucket's in the order in which they came. An entry begins with its order's key, and stands behind its
// length. In memory are chunkBytes a bucket at most; full chunks are the store's.
type spill struct {
	store   *store
	buckets []bucketBytes
}

// bucketBytes are the bytes of one bucket: its full chunks, by number, and what is in none yet.
type bucketBytes struct {
	full []int
	tail []byte
}

func newSpill(s *store, buckets int) *spill {
	return &spill{store: s, buckets: make([]bucketBytes, buckets)}
}

// add adds an entry to a bucket. The caller may use it again.
func (s *spill) add(bucket int, entry []byte) error {
	var length [binary.MaxVarintLen64]byte
	if err := s.write(bucket, appendNumber(length[:0], int64(len(entry)))); err != nil {
		return err
	}
	return s.write(bucket, entry)
}

func (s *spill) write(bucket int, b []byte) error {
	into := &s.buckets[bucket]
	for len(into.tail)+len(b) >= chunkBytes {
		fits := chunkBytes - len(into.tail)
		into.tail = append(into.tail, b[:fits]...)
		b = b[fits:]
		n, err := s.store.put(into.tail)
		if err != nil {
			return err
		}
		into.full, into.tail = append(into.full, n), into.tail[:0]
	}
	into.tail = append(into.tail, b...)
	return nil
}

// size is how many bytes a bucket holds.
func (s *spill) size(bucket int) int {
	return len(s.buckets[bucket].full)*chunkBytes + len(s.buckets[bucket].tail)
}

// take returns the bytes of a bucket, which is empty after it.
func (s *spill) take(bucket int) ([]byte, error) {
	from := s.buckets[bucket]
	s.buckets[bucket] = bucketBytes{}
	all := make([]byte, 0, len(from.full)*chunkBytes+len(from.tail))
	for _, n := range from.full {
		at := len(all)
		all = all[:at+chunkBytes]
		if err := s.store.take(n, all[at:]); err != nil {
			return nil, err
		}
	}
	return append(all, from.tail...), nil
}

// split moves the entries of a bucket into a spill of more buckets, a chunk at a time; to says which. So it needs the memory of one entry,
// and no more room in the store than there was.
func (s *spill) split(bucket, buckets int, to func(key []byte) int) (*spill, error) {
	from, into := s.buckets[bucket], newSpill(s.store, buckets)
	s.buckets[bucket] = bucketBytes{}
	chunk := make([]byte, chunkBytes)
	var buffer, rest []byte
	var err error
	for _, n := range from.full {
		if err = s.store.take(n, chunk); err != nil {
			return nil, err
		}
		buffer = append(append(buffer[:0], rest...), chunk...)
		if rest, err = into.addWhole(buffer, to); err != nil {
			return nil, err
		}
	}
	_, err = into.addWhole(append(append(buffer[:0], rest...), from.tail...), to)
	return into, err
}

// addWhole adds the entries that stand whole in b, and returns the rest.
func (s *spill) addWhole(b []byte, to func(key []byte) int) (rest []byte, err error) {
	for {
		length, size := binary.Varint(b)
		if size <= 0 || int64(len(b)-size) < length {
			return b, nil
		}
		u := unpacker(b)
		entry := u.bytes()
		if err := s.add(to(keyOf(entry)), entry); err != nil {
			return nil, err
		}
		b = u
	}
}

// keyOf is the key of an entry's order.
func keyOf(entry []byte) []byte {
	u := unpacker(entry)
	return u.bytes()
}

// reset empties all buckets.
func (s *spill) reset() {
	for n := range s.buckets {
		s.store.drop(s.buckets[n].full)
		s.buckets[n] = bucketBytes{}
	}
}

// part is one bucket of a spill.
type part struct {
	of     *spill
	bucket int
}

func (p part) size() int { return p.of.size(p.bucket) }

func (p part) take() ([]byte, error) { return p.of.take(p.bucket) }
