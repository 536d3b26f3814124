package txn

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
)

// MaxMetadataBytes is what a broker takes as an offset's metadata by default (offset.metadata.max.bytes). The embedded
// broker takes more, so we hold to it ourselves.
const MaxMetadataBytes = 4096

// tracker follows one partition whose records finish out of order. Offsets that were never begun (transaction markers,
// compacted records) count as done once a later one has begun. It is not safe for concurrent use.
//
// The position is the first begun offset that is not done; what is done beyond it travels in the commit's metadata, as
// base64 of a version byte and varints: lengths of alternating runs of not done and done, from the position on.
type tracker struct {
	position int64          // the first offset not done
	next     int64          // the first offset not begun
	open     map[int64]bool // begun, not done
	done     map[int64]bool // restored: done before a crash or a rebalance, at or beyond the position
}

const metadataVersion = 1

// window bounds how far a partition is read ahead of the position. At worst every offset of it is a run of its own, a byte
// each (longer runs are fewer): (1 + 3000) bytes are 4,004 in base64.
const window = 3000

var errMetadata = errors.New("offset metadata cannot be read")

// newTracker starts at a committed position with its metadata.
func newTracker(position int64, metadata string) (*tracker, error) {
	done, err := parseMetadata(position, metadata)
	if err != nil {
		return nil, err
	}
	return &tracker{position: position, next: position, open: map[int64]bool{}, done: done}, nil
}

// isDone reports whether the record was finished before this tracker began, and so is to be passed over.
func (t *tracker) isDone(offset int64) bool { return offset < t.position || t.done[offset] }

// canBegin reports whether the offset lies inside the window that the metadata can describe.
func (t *tracker) canBegin(offset int64) bool { return offset < t.position+window || len(t.open) == 0 }

// begin notes that a record is taken up; false when it was already done and must be skipped.
func (t *tracker) begin(offset int64) bool {
	fresh := offset >= t.position && !t.done[offset]
	t.next = max(t.next, offset+1)
	if fresh {
		t.open[offset] = true
	}
	t.advance()
	return fresh
}

// snapshot is the position and metadata as if the given offsets were done too; the tracker does not change, as the
// transaction may fail.
func (t *tracker) snapshot(done []int64) (int64, string, error) {
	extra := make(map[int64]bool, len(done))
	for _, o := range done {
		extra[o] = true
	}
	finished := func(o int64) bool { return extra[o] || t.finished(o) }
	position, horizon := t.position, t.horizon()
	for position < horizon && finished(position) {
		position++
	}
	metadata := encodeMetadata(position, horizon, finished)
	if len(metadata) > MaxMetadataBytes {
		return 0, "", fmt.Errorf("offset metadata has %d bytes, more than %d: more was begun than its window holds", len(metadata), MaxMetadataBytes)
	}
	return position, metadata, nil
}

// confirm marks offsets done, after the transaction that says so has committed.
func (t *tracker) confirm(done []int64) {
	for _, o := range done {
		delete(t.open, o)
	}
	t.advance()
}

// finished: begun and not open, or known done from the restored metadata.
func (t *tracker) finished(o int64) bool { return (o < t.next && !t.open[o]) || t.done[o] }

// horizon is the offset after the last one of which anything is known.
func (t *tracker) horizon() int64 {
	horizon := t.next
	for o := range t.done {
		horizon = max(horizon, o+1)
	}
	return horizon
}

// advance moves the position to the first offset that is open or was never begun.
func (t *tracker) advance() {
	for t.position < t.next && !t.open[t.position] {
		t.position++
	}
	for o := range t.done {
		if o < t.position {
			delete(t.done, o)
		}
	}
}

// encodeMetadata describes [position, horizon) by alternating runs, the first not finished; empty when there is none.
func encodeMetadata(position, horizon int64, finished func(int64) bool) string {
	if position >= horizon {
		return ""
	}
	out := []byte{metadataVersion}
	run, state := uint64(0), false
	anyDone := false
	for o := position; o < horizon; o++ {
		if f := finished(o); f != state {
			out = binary.AppendUvarint(out, run)
			run, state = 0, f
			anyDone = anyDone || f
		}
		run++
	}
	if state { // a last run of unfinished offsets says nothing
		out = binary.AppendUvarint(out, run)
	}
	if !anyDone {
		return ""
	}
	return base64.RawStdEncoding.EncodeToString(out)
}

// parseMetadata is the set of offsets done beyond the position. Empty metadata is an empty set.
func parseMetadata(position int64, metadata string) (map[int64]bool, error) {
	done := map[int64]bool{}
	if metadata == "" {
		return done, nil
	}
	raw, err := base64.RawStdEncoding.DecodeString(metadata)
	if err != nil || len(raw) == 0 || raw[0] != metadataVersion {
		return nil, errMetadata
	}
	raw = raw[1:]
	o, state := position, false
	for len(raw) > 0 {
		run, n := binary.Uvarint(raw)
		if n <= 0 || run > uint64(window) || o-position+int64(run) > 2*window {
			return nil, errMetadata
		}
		raw = raw[n:]
		for range run {
			if state {
				done[o] = true
			}
			o++
		}
		state = !state
	}
	return done, nil
}
