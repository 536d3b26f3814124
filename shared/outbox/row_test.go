package outbox

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The rows of the relay have the metadata that Watermill's subscriber gives for the same text.
func TestHeadersAreTheMetadata(t *testing.T) {
	t.Parallel()
	s := newScanner()
	same := func(t require.TestingT, metadata string) {
		headers, err := s.decode([]byte(metadata))
		msg, failed := newMessage("u", "k", []byte(metadata), nil)
		require.Equal(t, failed != nil, err != nil, "%s: %v, %v", metadata, failed, err)
		if err != nil {
			return
		}
		for i := 1; i < len(headers); i++ {
			require.Less(t, headers[i-1].Key, headers[i].Key)
		}
		row := Row{UUID: []byte("u"), Key: []byte("k"), Headers: headers}
		require.Equal(t, msg.Metadata, row.Message().Metadata, metadata)
	}
	for _, metadata := range []string{
		`{}`, ` { } `, `null`, ``, `[]`, `"a"`, `{"a":1}`, `{"a":{}}`, `{"a":null}`, `{"a":"1"} x`, `{"a":"1"`, `{"b":"1","a":"2"}`, `{"a":"1","b":"2","a":"3"}`,
		`{"_watermill_message_partition_key":"other","a":"1"}`, `{"` + MetadataPartitionKey + `":"other"}`, `{"ä":"\u00e4\ud83d\ude00\"\\"}`, "{\"a\":\"\xff\"}", `{"a":"\ud83d"}`,
	} {
		same(t, metadata)
	}
	rapid.Check(t, func(t *rapid.T) {
		same(t, encoded(rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "metadata")))
	})
}

// What is kept stays as it was when more is read, and nobody can append to it over the next value.
func TestWhatIsKeptDoesNotChange(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, kept, want := newScanner(), [][]byte{}, [][]byte{}
		for _, size := range rapid.SliceOfN(rapid.SampledFrom([]int{0, 1, 36, 1024, byteChunk / 8, byteChunk/8 + 1, byteChunk + 1}), 1, 200).Draw(t, "sizes") {
			v := bytes.Repeat([]byte{byte(len(kept))}, size)
			want = append(want, bytes.Clone(v))
			kept = append(kept, s.keep(v))
			clear(v)
		}
		require.Equal(t, want, kept)
		for i := range kept {
			require.NotNil(t, kept[i], "an empty payload is no null")
			_ = append(kept[i], 'x')
		}
		require.Equal(t, want, kept)
		require.Nil(t, s.keep(nil))
	})
}

func TestNamesAreRememberedUpToALimit(t *testing.T) {
	t.Parallel()
	s := newScanner()
	for i := range 3 * maxNames {
		name := string(rune('a'+i%26)) + string(rune('a'+i/26))
		require.Equal(t, name, s.name([]byte(name)))
	}
	require.Len(t, s.names, maxNames)
}
