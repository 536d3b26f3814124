package domain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// agrees compares what the stream says of a body with what encoding/json says.
func agrees(t testing.TB, body []byte) {
	t.Helper()
	// Small reads, so that every token stands across one.
	got, err := ReadAnswerBody(iotest.OneByteReader(bytes.NewReader(body)))
	require.NoError(t, err)
	require.Equal(t, AnswerBodyOf(body), got)
	require.True(t, bytes.HasPrefix(body, got.Start))

	text := bytes.TrimPrefix(body, []byte(bom))
	valid := json.Valid(text)
	require.Equal(t, valid, got.isWhole, "%q", body)
	var fields map[string]json.RawMessage
	if !valid || json.Unmarshal(text, &fields) != nil || !utf8.Valid(text) {
		return
	}
	for name, raw := range fields {
		if v, is := got.members[name]; is {
			compare(t, raw, v)
		}
	}
}

func compare(t testing.TB, raw json.RawMessage, v value) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var want any
	require.NoError(t, dec.Decode(&want))
	switch want := want.(type) {
	case string:
		require.Equal(t, textValue, v.kind)
		require.Equal(t, want[:min(len(want), maxKeptText)], v.text[:min(len(v.text), maxKeptText)])
	case json.Number:
		require.Equal(t, numberValue, v.kind)
		require.Equal(t, want.String()[:min(len(want), maxKeptText)], v.text)
	case map[string]any:
		require.Equal(t, objectValue, v.kind)
	case []any:
		require.Equal(t, listValue, v.kind)
	default:
		require.Equal(t, noValue, v.kind)
	}
}

func TestTheStreamReadsJSONAsEncodingJSONDoes(t *testing.T) {
	names := []string{"erp_reference", "erp_id", "id", "error", "errors", "code", "order", "a\\u00e9"}
	rapid.Check(t, func(r *rapid.T) {
		seed := rapid.Uint64().Draw(r, "seed")
		random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test's bodies
		body := []byte(anyJSON(random, names, 5))
		if rapid.Bool().Draw(r, "damaged") {
			at := rapid.IntRange(0, len(body)-1).Draw(r, "at")
			body[at] = rapid.SampledFrom([]byte(`{}[]",:0-.eE\u x`+"\x00\xff")).Draw(r, "byte")
		}
		agrees(t, body)
	})
}

func anyJSON(random *rand.Rand, names []string, depth int) string {
	gap := []string{"", "", " ", "\n\t"}[random.IntN(4)]
	kind := random.IntN(7)
	if depth == 5 {
		kind = 0
	}
	switch {
	case kind < 2 && depth > 0:
		parts := make([]string, random.IntN(4))
		for i := range parts {
			parts[i] = gap + `"` + names[random.IntN(len(names))] + `"` + gap + ":" + gap + anyJSON(random, names, depth-1) + gap
		}
		return "{" + gap + strings.Join(parts, ",") + "}" + gap
	case kind == 2 && depth > 0:
		parts := make([]string, random.IntN(4))
		for i := range parts {
			parts[i] = gap + anyJSON(random, names, depth-1)
		}
		return "[" + gap + strings.Join(parts, ",") + gap + "]"
	case kind == 3:
		return []string{"true", "false", "null"}[random.IntN(3)]
	case kind == 4:
		return []string{"0", "-0", "12", "1.50", "-3e5", "1E-2", "0.0e+0", "123456789012345678901234567890"}[random.IntN(8)]
	}
	return `"` + []string{"", "ERP-1", `\"\\\/\b\f\n\r\t`, `\u00e9\ud83d\ude00`, `\ud800`, `\ud800\ud83d\ude00`, `\udc00\u0041`, "Größe 😀"}[random.IntN(8)] + `"`
}

// FuzzReadAnswer feeds answers of ERPs and proxies. Whatever comes, the reader and encoding/json agree on the body, and what
// comes of it is bounded and can be kept.
func FuzzReadAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"erp_reference":"ERP-1"}`, bom + `{"erp_reference":"ERP-1"}`, `{"id":1.2345678E7}`, `{"id":1e999999999}`, `{"erp_reference": `,
		`{"erp_reference":"1","erp_reference":"2"}`, `{"error":{"message":"x","code":1}}`, `{"title":"a","detail":"b","errors":[{"detail":"c"}]}`,
		`[{"message":"x"}]`, `<html><title>502 Bad Gateway</title>`, `{"a":"\ud800\ud83d\ude00"}`, `{"id":01}`, `{"id":1}x`, "{\"id\":\"\x00\"}", `"x"`, `-`, "\xff\xfe{\x00",
	} {
		f.Add([]byte(seed), 200, "", "")
		f.Add([]byte(seed), 422, "", "")
	}
	for _, seed := range []string{
		"", "-1", "1.5", "0", "9223372036854775807", "9223372036854775808", "99999999999999999999999999", "Thu, 01 Jan 2026 12:00:30 GMT",
		"Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT",
	} {
		f.Add([]byte(`{"error":"busy"}`), 503, seed, "")
	}
	for _, seed := range []string{
		"https://erp.example.com/api/orders/sync", "http://erp.example.com/api/orders/sync/", "/login", "//", "http://erp.example.com/%zz", UnreadableLocation,
	} {
		f.Add([]byte("<html><title>301 Moved Permanently</title>"), 301, "", seed)
	}
	f.Fuzz(func(t *testing.T, body []byte, status int, retryAfter, location string) {
		if bytes.Count(body, []byte("["))+bytes.Count(body, []byte("{")) < maxNesting {
			agrees(t, body)
		}
		status = 100 + (status%500+500)%500
		o := Classify(Answer{
			StatusCode: status, RetryAfter: retryAfter, Target: "http://erp.example.com/api/orders/sync", Location: location, Body: AnswerBodyOf(body),
		}, AnswerPolicy{}, false, noon)
		require.NotZero(t, o.Kind)
		if o.RetryAfter != nil {
			require.Equal(t, OutcomeRetryable, o.Kind)
			require.False(t, o.RetryAfter.Before(noon))
			require.LessOrEqual(t, o.RetryAfter.Sub(noon), MaxRetryAfter)
		}
		require.Equal(t, o.Kind != OutcomeSuccess, o.Error != "")
		require.LessOrEqual(t, len(o.Error), MaxErrorBytes)
		require.True(t, utf8.ValidString(o.Error+o.Warning))
		require.NotContains(t, o.Error, "\x00")
		if o.Reference != nil {
			require.NotEmpty(t, *o.Reference)
			require.LessOrEqual(t, len(*o.Reference), MaxReferenceBytes)
			require.Equal(t, *o.Reference, KeepableText(strings.TrimSpace(*o.Reference)))
		}
	})
}

func BenchmarkAnswerBody(b *testing.B) {
	for _, size := range []int{100, 60 << 10, 1 << 20} {
		body := []byte(`{"order":{"items":[` + strings.Repeat(`{"sku":"PROD-001","name":"City scooter","qty":"2","row_total":199.98},`, size/70) + `{}]},"erp_reference":"ERP-123"}`)
		b.Run(fmt.Sprintf("stream/%d", size), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if r := AnswerReference(body); *r != "ERP-123" {
					b.Fatal(r)
				}
			}
		})
		b.Run(fmt.Sprintf("unmarshal/%d", size), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				var fields map[string]json.RawMessage
				require.NoError(b, json.Unmarshal(body, &fields))
			}
		})
	}
}
