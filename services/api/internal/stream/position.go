package stream

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/fnv"

	"github.com/erpconnector/erpconnector/shared/kafka"
)

// ID is a place in the log: the offset that comes next in each partition. The zero value is no place.
type ID struct {
	log  uint32 // which partitions of which topics the offsets are of
	next []int64
}

const idVersion = 1

// errID says what is wrong with a text that should be an id.
var errID = errors.New("is no id of this stream; send the id of the last event that came, or none to begin now")

// ParseID reads the id of an event that was sent, by this process or another.
func ParseID(text string) (ID, error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) < 5 || raw[0] != idVersion {
		return ID{}, errID
	}
	id := ID{log: binary.BigEndian.Uint32(raw[1:])}
	for rest := bytes.NewReader(raw[5:]); rest.Len() > 0; {
		offset, err := binary.ReadUvarint(rest)
		if err != nil || offset > 1<<62 {
			return ID{}, errID
		}
		id.next = append(id.next, int64(offset)) //nolint:gosec // it was compared
	}
	return id, nil
}

// String returns the id in the form that ParseID reads.
func (id ID) String() string {
	raw := make([]byte, 0, 5+3*len(id.next))
	raw = append(raw, idVersion)
	raw = binary.BigEndian.AppendUint32(raw, id.log)
	for _, offset := range id.next {
		raw = binary.AppendUvarint(raw, uint64(offset)) //nolint:gosec // offsets are not below 0
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// logOf tells the partitions of one installation from those of another: by the names of its topics and their number.
func logOf(partitions []kafka.TopicPartition) uint32 {
	h := fnv.New32a()
	for _, p := range partitions {
		_, _ = h.Write(append([]byte(p.Topic), byte(p.Partition), byte(p.Partition>>8), 0)) //nolint:gosec // a hash
	}
	return h.Sum32()
}
