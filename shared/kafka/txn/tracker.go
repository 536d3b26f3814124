package txn

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
)

// MaxMetadataBytes is the default limit of a broker for an offset's metadata (offset.metadata.max.bytes). The embedded
// broker has no such limit, so tracker enforces it.
const MaxMetadataBytes = 4096

// tracker follows one partition whose records finish out of order. Offsets that were never begun (transaction markers,
// compacted records) count as done once a later one has begun. It is not safe for concurrent use.
//
// The position is the first offset that is not done. What is done after it is kept in the commit's metadata: the base64
// of a version byte and varints, which are the lengths of alternating runs of not done and done offsets, from the
// position on. Example: the position is 5, and 6, 7 and 9 are done. The runs are 1 (5), 2 (6, 7), 1 (8) and 1 (9);
// their base64 is "AQECAQE".
type tracker struct {
	position int64          // the first offset not done
	next     int64          // the first offset not begun
	open     map[int64]bool // begun, not done
	done     map[int64]bool // read from the metadata: a former owner has finished these, at or after the position
}

const metadataVersion = 1

// window is how far records may begin ahead of the position, so that the metadata stays below its limit. At worst each
// offset is a run of its own and takes a byte. Then 1 + 3000 bytes are 4,004 in base64.
const window = 3000

var errMetadata = errors.New("offset metadata cannot be read")

// newTracker returns a tracker that starts at a committed position with its metadata.
func newTracker(position int64, metadata string) (*tracker, error) {
	done, err := parseMetadata(position, metadata)
	if err != nil {
		return nil, err
	}
	return &tracker{position: position, next: position, open: map[int64]bool{}, done: done}, nil
}

// isDone reports whether a former owner has finished the record, so that it must be skipped.
func (t *tracker) isDone(offset int64) bool { return offset < t.position || t.done[offset] }

// canBegin reports whether the offset lies inside the window.
func (t *tracker) canBegin(offset int64) bool { return offset < t.position+window || len(t.open) == 0 }

// begin notes that work on a record begins. It is false when the record is done already and must be skipped.
func (t *tracker) begin(offset int64) bool {
	fresh := offset >= t.position && !t.done[offset]
	t.next = max(t.next, offset+1)
	if fresh {
		t.open[offset] = true
	}
	t.advance()
	return fresh
}

// snapshot returns the position and metadata as if the given offsets were done too. The tracker does not change, as the
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
		return 0, "", fmt.Errorf("offset metadata has %d bytes, more than %d: more records were begun than the window allows", len(metadata), MaxMetadataBytes)
	}
	return position, metadata, nil
}

// confirm marks offsets as done, once their transaction is committed.
func (t *tracker) confirm(done []int64) {
	for _, o := range done {
		delete(t.open, o)
	}
	t.advance()
}

// finished reports whether an offset was begun and is not open any more, or is done by the metadata.
func (t *tracker) finished(o int64) bool { return (o < t.next && !t.open[o]) || t.done[o] }

// horizon returns the offset after the last one that was begun or is done.
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

// encodeMetadata describes [position, horizon) by alternating runs, of which the first is not finished. It returns ""
// when nothing is done there.
func encodeMetadata(position, horizon int64, finished func(int64) bool) string {
	if position >= horizon {
		return ""
	}
	out := []byte{metadataVersion}
	length, runIsDone := uint64(0), false
	anyDone := false
	for o := position; o < horizon; o++ {
		if f := finished(o); f != runIsDone {
			out = binary.AppendUvarint(out, length)
			length, runIsDone = 0, f
			anyDone = anyDone || f
		}
		length++
	}
	if runIsDone { // a last run of offsets that are not done is left out
		out = binary.AppendUvarint(out, length)
	}
	if !anyDone {
		return ""
	}
	return base64.RawStdEncoding.EncodeToString(out)
}

// parseMetadata returns the offsets that are done after the position. Empty metadata means none.
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
	o, runIsDone := position, false
	for len(raw) > 0 {
		length, n := binary.Uvarint(raw)
		if n <= 0 || length > uint64(window) || o-position+int64(length) > 2*window {
			return nil, errMetadata
		}
		raw = raw[n:]
		for range length {
			if runIsDone {
				done[o] = true
			}
			o++
		}
		runIsDone = !runIsDone
	}
	return done, nil
}
