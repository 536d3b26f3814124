package event

import (
	"crypto/sha256"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// usual is an event as shops send it.
const usual = `{"type":"invoice.created","event_id":"e-1","order":{"order_increment_id":"000000123","customer_firstname":"Zoë","name":"O'Néill & <b>",
	"items":[{"sku":"SKU-1","qty":"3","price":100.10,"row_total":"300.30"},{"b":1,"a":[]}],"virtual":true,"shipping_address":null,"empty":{}}}`

// written are texts that one of the two ways of Digest may read in another way than the other.
var written = []string{
	usual, `{}`, `[]`, `""`, `0`, `-0`, `1e3`, `1E-2`, `1.50`, `12345678901234567890`, `true`, `null`, ` { "b" : 1 , "a" : [ 1 , 2 ] } `,
	`{"a":1,"a":2}`, `{"b":1,"a":{"b":1,"a":2,"b":3}}`, `{"\u0061":1,"a":2}`, `{"é":1,"e":2,"\u00e9":3}`, `["\u003c\/\"\\\n\u2028 ` + "\u2028" + `"]`,
	`{"a":"` + "\xff" + `"}`, `{"a":"\ud800"}`, "{\"a\":\"\x01\"}", "\"\x7f\"", `{"a":1`, `{"a":}`, `{,}`, `[1,]`, `[,1]`, `[1 2]`, `{"a" 1}`, `{"a":1,}`, `{1:2}`, `1 2`, `{} {}`,
	`tru`, `nul`, `+1`, `01`, `1.`, `.5`, `"`, `"\`, `"\"`, `"\u12"`, ``, ` `, `[` + strings.Repeat(`[`, 200) + strings.Repeat(`]`, 200) + `]`, `{"n":1e400}`, `{"n":0e5}`, `NaN`,
}

func requireSameDigest(t require.TestingT, body []byte) {
	require.Equal(t, sha256.Sum256(decodedCanonical(body)), Digest(body), "%q", body)
}

func TestDigestIsThatOfTheCanonicalForm(t *testing.T) {
	t.Parallel()
	for _, body := range written {
		requireSameDigest(t, []byte(body))
	}
	var c canonical
	c.read([]byte(usual))
	require.True(t, c.value(0), "a usual event is not left to the decoder")
	require.Equal(t, string(decodedCanonical([]byte(usual))), string(c.out))
}

func TestDigestOfAnyJSON(t *testing.T) {
	t.Parallel()
	texts := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "a", "b", "é", "<", "\u2028", "\"", "\\", "ключ"}))
	var value *rapid.Generator[any]
	value = rapid.Custom(func(t *rapid.T) any {
		switch rapid.IntRange(0, 6).Draw(t, "kind") {
		case 0:
			return rapid.MapOfN(texts, rapid.Deferred(func() *rapid.Generator[any] { return value }), 0, 4).Draw(t, "object")
		case 1:
			return rapid.SliceOfN(rapid.Deferred(func() *rapid.Generator[any] { return value }), 0, 4).Draw(t, "list")
		case 2:
			return json.Number(rapid.SampledFrom([]string{"0", "-0", "1.50", "1e3", "2E-2", "99999999999999999999"}).Draw(t, "number"))
		case 3:
			return rapid.Bool().Draw(t, "bool")
		case 4:
			return nil
		default:
			return texts.Draw(t, "text")
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		encoded, err := json.Marshal(value.Draw(t, "value"))
		require.NoError(t, err)
		requireSameDigest(t, encoded)
		random := rand.New(rand.NewPCG(1, rapid.Uint64().Draw(t, "seed"))) //nolint:gosec // a plan, repeatable
		requireSameDigest(t, shuffled(t, encoded, random))
		if len(encoded) > 0 { // a text that is cut, or has another byte
			at := random.IntN(len(encoded))
			requireSameDigest(t, encoded[:at])
			encoded[at] = "{}[]\",:\\ e1\xff"[random.IntN(12)]
			requireSameDigest(t, encoded)
		}
	})
}

// shuffled is the JSON with the members of its outer object in another order, and with white space.
func shuffled(t *rapid.T, encoded []byte, random *rand.Rand) []byte {
	var members map[string]json.RawMessage
	if json.Unmarshal(encoded, &members) != nil || len(members) == 0 {
		return encoded
	}
	var names []string
	for name := range members {
		names = append(names, name)
	}
	random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	var b strings.Builder
	for i, name := range names {
		quoted, err := json.Marshal(name)
		require.NoError(t, err)
		b.WriteString([]string{"{ ", "\n,\t"}[min(i, 1)] + string(quoted) + " : " + string(members[name]))
	}
	out := []byte(b.String() + " }\n")
	require.Equal(t, sha256.Sum256(decodedCanonical(encoded)), Digest(out), "%q", out)
	return out
}

func FuzzDigest(f *testing.F) {
	for _, body := range written {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) { requireSameDigest(t, body) })
}

func BenchmarkDigest(b *testing.B) {
	for b.Loop() {
		Digest([]byte(usual))
	}
}

func BenchmarkDigestByDecoding(b *testing.B) {
	for b.Loop() {
		sha256.Sum256(decodedCanonical([]byte(usual)))
	}
}
