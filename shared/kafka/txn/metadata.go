package txn

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
)

// MaxMetadataBytes is the default limit of a broker for an offset's metadata (offset.metadata.max.bytes). The embedded
// broker has no such limit, so the session enforces it.
const MaxMetadataBytes = 4096

// maxRawBytes limits the metadata before base64 makes it longer: 3,000 bytes and the version are 4,004 in base64. No
// record begins that could bring it above.
const maxRawBytes = 3000

// The metadata of a commit is the base64 of a version byte and varints.
//
// Version 1 has the lengths of alternating runs of not done and done offsets, from the committed position on. Example: the
// position is 5, and 6, 7 and 9 are done. The runs are 1 (5), 2 (6, 7), 1 (8) and 1 (9); their base64 is "AQECAQE".
//
// Version 2 is used while flows are behind. It has how far the partition's position is ahead of the committed one, the
// number of its runs, and the runs. Then comes the same for each flow that is behind, with the flow before it. The
// committed position is the lowest of all. A record is done when it is done by the partition's position and runs, and,
// unless it is before the position of its own flow, by those as well.
const (
	metadataVersion       = 1
	metadataVersionBehind = 2
)

// maxLength limits lengths in the metadata, so that nothing overflows.
const maxLength = 1 << 40

var errMetadata = errors.New("offset metadata cannot be read")

// Flow names records of a partition that keep their order among each other, and that may be behind others. The zero Flow
// never is.
type Flow uint32

// FlowOf returns the flow of a name. Two names may share a flow; then they share its place, too.
func FlowOf(name string) Flow {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return Flow(max(h.Sum32(), 1))
}

// committed is what a commit says of a partition.
type committed struct {
	progress

	behind map[Flow]progress
}

// progress is a position and what is done after it.
type progress struct {
	position int64
	done     []span
}

// isDone reports whether a record is done.
func (c committed) isDone(flow Flow, offset int64) bool {
	if f, is := c.behind[flow]; is && !f.isDone(offset) {
		return false
	}
	return c.progress.isDone(offset)
}

func (p progress) isDone(offset int64) bool { return offset < p.position || contains(p.done, offset) }

// encode returns the offset to commit for a partition's tracker and those of the flows that are behind, as if the
// finished offsets of each were done.
func encode(t *tracker, behind map[Flow]*tracker, finished map[*tracker]map[int64]bool) (Offset, error) {
	position, runs := t.after(finished[t])
	at := position
	for _, f := range behind {
		own, _ := f.after(finished[f])
		at = min(at, own)
	}
	var raw []byte
	switch {
	case len(behind) > 0:
		raw = numbers([]byte{metadataVersionBehind}, position-at, int64(len(runs)))
		raw = numbers(raw, runs...)
		for _, flow := range slices.Sorted(maps.Keys(behind)) {
			own, ownRuns := behind[flow].after(finished[behind[flow]])
			raw = numbers(raw, int64(flow), own-at, int64(len(ownRuns)))
			raw = numbers(raw, ownRuns...)
		}
	case len(runs) > 0:
		raw = numbers([]byte{metadataVersion}, runs...)
	}
	metadata := base64.RawStdEncoding.EncodeToString(raw)
	if len(metadata) > MaxMetadataBytes {
		return Offset{}, fmt.Errorf("offset metadata has %d bytes, more than %d: more records were begun than it can tell of", len(metadata), MaxMetadataBytes)
	}
	return Offset{At: at, Metadata: metadata}, nil
}

// numbers appends numbers, each in as few bytes as it needs.
func numbers(to []byte, all ...int64) []byte {
	for _, n := range all {
		to = binary.AppendUvarint(to, uint64(n))
	}
	return to
}

// parse reads a committed offset. Empty metadata says that nothing is done after the position.
func parse(at int64, metadata string) (committed, error) {
	c := committed{progress: progress{position: at}}
	if metadata == "" {
		return c, nil
	}
	raw, err := base64.RawStdEncoding.DecodeString(metadata)
	if err != nil || len(raw) == 0 {
		return c, errMetadata
	}
	d := decoder{raw: raw[1:], base: at}
	switch raw[0] {
	case metadataVersion:
		c.done = d.runs(at, -1)
	case metadataVersionBehind:
		c.progress = d.progress()
		c.behind = map[Flow]progress{}
		for len(d.raw) > 0 && !d.failed {
			flow := Flow(d.number())
			c.behind[flow] = d.progress()
		}
	default:
		d.failed = true
	}
	if d.failed {
		return c, errMetadata
	}
	return c, nil
}

// decoder reads metadata. Once something is wrong it reads zeros, and failed stays true.
type decoder struct {
	raw    []byte
	base   int64 // the committed position
	failed bool
}

func (d *decoder) number() int64 {
	n, length := binary.Uvarint(d.raw)
	if length <= 0 || n > maxLength {
		d.failed, d.raw = true, nil
		return 0
	}
	d.raw = d.raw[length:]
	return int64(n)
}

func (d *decoder) progress() progress {
	position := d.base + d.number()
	return progress{position: position, done: d.runs(position, d.number())}
}

// runs reads so many runs from an offset on, or all that are left when count is negative. It returns the done ones.
func (d *decoder) runs(from, count int64) (done []span) {
	for i := int64(0); count < 0 && len(d.raw) > 0 || i < count && !d.failed; i++ {
		length := d.number()
		if i%2 == 1 && length > 0 {
			done = append(done, span{from, from + length})
		}
		from += length
		d.failed = d.failed || from-d.base > maxLength
	}
	return done
}

// uvarintLen is how many bytes a number takes.
func uvarintLen(n int64) (bytes int) {
	for bytes = 1; n >= 0x80; bytes++ {
		n >>= 7
	}
	return bytes
}
