package event

import (
	"bytes"
	"encoding/json"
	"sync"

	jsonv2 "github.com/go-json-experiment/json"
)

// encode writes the value of a record. An order that came from a record is valid and compact, and is most of the value: it is copied,
// where the library would read and write it once more.
func encode(v Sync, orderIsRead bool) ([]byte, error) {
	if !orderIsRead || len(v.Order) == 0 {
		return jsonv2.Marshal(&v, encoding) // by its address: the library would copy it
	}
	order := v.Order
	v.Order = placeOfOrder
	around := buffers.Get().(*bytes.Buffer) //nolint:forcetypeassert // the pool has no others
	defer buffers.Put(around)
	around.Reset()
	if err := jsonv2.MarshalWrite(around, &v, encoding); err != nil {
		return nil, err
	}
	// The sync comes before it, and in a text of the sync the quotes would be escaped.
	before, after, _ := bytes.Cut(around.Bytes(), memberOfOrder)
	out := make([]byte, 0, len(before)+len(nameOfOrder)+len(order)+len(after))
	return append(append(append(append(out, before...), nameOfOrder...), order...), after...), nil
}

const nameOfOrder = `,"order":`

var (
	placeOfOrder  = json.RawMessage("0")
	memberOfOrder = []byte(nameOfOrder + "0")
	buffers       = sync.Pool{New: func() any { return new(bytes.Buffer) }}
)
