package postgres

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"
)

// TestArraysAreThoseOfPgx compares the bytes of each kind of list with what pgx writes.
func TestArraysAreThoseOfPgx(t *testing.T) {
	t.Parallel()
	at := time.Date(2024, 1, 15, 10, 30, 0, 123456789, time.FixedZone("", 7200))
	for oid, lists := range map[uint32][]any{
		pgtype.TextArrayOID: {
			[]string{"a", "", "ü", strings.Repeat("x", 5000)},
			[]string{},
			[]string(nil),
			[]*string{new("a"), nil, new("")},
			[]*string{nil},
			[]fmt.Stringer{at},
			[]any{"a", nil},
		},
		pgtype.ByteaArrayOID:       {[][]byte{{1, 2}, {}, nil, make([]byte, 3000)}, [][]byte{}, [][]byte(nil)},
		pgtype.Int8ArrayOID:        {[]int64{0, -1, 1 << 62}, []*int64{new(int64(7)), nil}, []int{3, -3}, []*int{new(5), nil}, []int32{-4}, []uint8{4}, []int16{2}},
		pgtype.TimestamptzArrayOID: {[]time.Time{at, {}, time.Unix(0, 0), time.Unix(-1, 999)}, []*time.Time{&at, nil}},
		pgtype.JSONBArrayOID:       {[]string{`{"a":1}`}},
		pgtype.Int4ArrayOID:        {[]int64{5}, []int{6}},
	} {
		theirs, own := pgtype.NewMap(), pgtype.NewMap()
		registerArraysIn(own)
		for i, list := range lists {
			t.Run(fmt.Sprintf("%d/%T/%d", oid, list, i), func(t *testing.T) {
				want, wantErr := theirs.Encode(oid, pgtype.BinaryFormatCode, list, []byte("before"))
				got, err := own.Encode(oid, pgtype.BinaryFormatCode, list, []byte("before"))
				require.Equal(t, wantErr == nil, err == nil, "%v, pgx: %v", err, wantErr)
				require.Equal(t, want, got)
			})
		}
	}
}

// BenchmarkArrays encodes the columns of a batch.
func BenchmarkArrays(b *testing.B) {
	payloads, keys := make([][]byte, 200), make([]string, 200)
	for i := range keys {
		payloads[i], keys[i] = make([]byte, 2000), fmt.Sprintf("%09d", i)
	}
	for name, register := range map[string]func(*pgtype.Map){"pgx": func(*pgtype.Map) {}, "own": registerArraysIn} {
		b.Run(name, func(b *testing.B) {
			m := pgtype.NewMap()
			register(m)
			b.ReportAllocs()
			for b.Loop() {
				buf, err := m.Encode(pgtype.TextArrayOID, pgtype.BinaryFormatCode, keys, make([]byte, 0, 256))
				require.NoError(b, err)
				_, err = m.Encode(pgtype.ByteaArrayOID, pgtype.BinaryFormatCode, payloads, buf)
				require.NoError(b, err)
			}
		})
	}
}
