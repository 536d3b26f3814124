package postgres

import (
	"context"
	"encoding/binary"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// registerArrays lets a session encode lists as arrays in one go. pgx looks at each element by reflection, and its buffer grows from 256
// bytes with each statement: in batches of orders that was a fifth of what the connector allocated. Lists of other types, and arrays that
// are read, stay pgx's.
func registerArrays(_ context.Context, c *pgx.Conn) error {
	registerArraysIn(c.TypeMap())
	return nil
}

func registerArraysIn(types *pgtype.Map) {
	for _, oid := range []uint32{pgtype.TextArrayOID, pgtype.ByteaArrayOID, pgtype.Int8ArrayOID, pgtype.TimestamptzArrayOID} {
		if t, known := types.TypeForOID(oid); known {
			if theirs, ok := t.Codec.(*pgtype.ArrayCodec); ok {
				types.RegisterType(&pgtype.Type{Name: t.Name, OID: oid, Codec: arrayCodec{theirs}})
			}
		}
	}
}

// arrayCodec is pgx's codec, but for lists that it has a plan for.
type arrayCodec struct{ *pgtype.ArrayCodec }

// PlanEncode returns how to encode a list.
func (c arrayCodec) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if format == pgtype.BinaryFormatCode {
		if plan, ok := arrayPlans(c.ElementType.OID, value); ok {
			return plan
		}
	}
	return c.ArrayCodec.PlanEncode(m, oid, format, value)
}

func arrayPlans(element uint32, value any) (plan pgtype.EncodePlan, ok bool) {
	switch value.(type) {
	case []string:
		return arrayPlan[string]{element, textSize, putText}, element == pgtype.TextOID
	case []*string:
		return arrayPlan[*string]{element, orNull(textSize), ofPointer(putText)}, element == pgtype.TextOID
	case [][]byte:
		return arrayPlan[[]byte]{element, bytesSize, putBytes}, element == pgtype.ByteaOID
	case []int64:
		return arrayPlan[int64]{element, intSize[int64], putInt[int64]}, element == pgtype.Int8OID
	case []*int64:
		return arrayPlan[*int64]{element, orNull(intSize[int64]), ofPointer(putInt[int64])}, element == pgtype.Int8OID
	case []int:
		return arrayPlan[int]{element, intSize[int], putInt[int]}, element == pgtype.Int8OID
	case []*int:
		return arrayPlan[*int]{element, orNull(intSize[int]), ofPointer(putInt[int])}, element == pgtype.Int8OID
	case []int32:
		return arrayPlan[int32]{element, intSize[int32], putInt[int32]}, element == pgtype.Int8OID
	case []time.Time:
		return arrayPlan[time.Time]{element, timeSize, putTime}, element == pgtype.TimestamptzOID
	case []*time.Time:
		return arrayPlan[*time.Time]{element, orNull(timeSize), ofPointer(putTime)}, element == pgtype.TimestamptzOID
	}
	return nil, false
}

// arrayPlan encodes a []T as an array of one dimension.
type arrayPlan[T any] struct {
	element uint32
	size    func(T) int // of an element in bytes; null: it is NULL
	put     func([]byte, T) []byte
}

// null is the length of NULL in Postgres' protocol.
const null = -1

// Encode appends the array: its head, and the length and bytes of each element (array_recv in Postgres' arrayfuncs.c).
func (p arrayPlan[T]) Encode(value any, buf []byte) ([]byte, error) {
	const head, lengthBytes = 5 * 4, 4
	list := value.([]T) //nolint:forcetypeassert // arrayPlans has looked
	size, nulls := head+lengthBytes*len(list), uint32(0)
	for _, v := range list {
		if n := p.size(v); n == null {
			nulls = 1
		} else {
			size += n
		}
	}
	buf = slices.Grow(buf, size)
	for _, word := range []uint32{1, nulls, p.element, uint32(len(list)), 1} { //nolint:gosec // an array has at most 2^27 elements
		buf = binary.BigEndian.AppendUint32(buf, word)
	}
	for _, v := range list {
		n := p.size(v)
		buf = binary.BigEndian.AppendUint32(buf, uint32(n)) //nolint:gosec // NULL is 0xFFFFFFFF
		if n != null {
			buf = p.put(buf, v)
		}
	}
	return buf, nil
}

func orNull[T any](size func(T) int) func(*T) int {
	return func(v *T) int {
		if v == nil {
			return null
		}
		return size(*v)
	}
}

func ofPointer[T any](put func([]byte, T) []byte) func([]byte, *T) []byte {
	return func(buf []byte, v *T) []byte { return put(buf, *v) }
}

func textSize(s string) int               { return len(s) }
func putText(buf []byte, s string) []byte { return append(buf, s...) }
func putBytes(buf, b []byte) []byte       { return append(buf, b...) }

func intSize[T int | int32 | int64](T) int { return 8 }

func putInt[T int | int32 | int64](buf []byte, n T) []byte {
	return binary.BigEndian.AppendUint64(buf, uint64(n)) //nolint:gosec // the same bits
}

func timeSize(time.Time) int                 { return 8 }
func putTime(buf []byte, t time.Time) []byte { return putInt(buf, t.UnixMicro()-y2k) }

// y2k is Postgres' epoch, in microseconds of Unix.
var y2k = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

func bytesSize(b []byte) int {
	if b == nil {
		return null
	}
	return len(b)
}
