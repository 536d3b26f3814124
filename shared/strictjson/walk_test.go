package strictjson

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// document generates JSON with few names, so that some stand twice in an object, with white space and escapes.
func document(depth int) *rapid.Generator[string] {
	space := rapid.SampledFrom([]string{"", " ", "\n\t", "\r\n"})
	return rapid.Custom(func(t *rapid.T) string {
		kinds := []string{"scalar", "text"}
		if depth > 0 {
			kinds = append(kinds, "object", "list", "object")
		}
		around := space.Draw(t, "space")
		switch rapid.SampledFrom(kinds).Draw(t, "kind") {
		case "object":
			var members []string
			for range rapid.IntRange(0, 4).Draw(t, "members") {
				name := rapid.SampledFrom([]string{`"a"`, `"\u0061"`, `"b"`, `"a/b~c"`, `""`, `"\""`, `"}"`}).Draw(t, "name")
				members = append(members, name+around+":"+document(depth-1).Draw(t, "value"))
			}
			return around + "{" + around + strings.Join(members, ",") + around + "}" + around
		case "list":
			return around + "[" + around + strings.Join(rapid.SliceOfN(document(depth-1), 0, 3).Draw(t, "elements"), ",") + "]" + around
		case "text":
			return around + rapid.SampledFrom([]string{`""`, `"{}[],:"`, `"\\"`, `"\""`, `"é\n\u00e9"`}).Draw(t, "text") + around
		default:
			return around + rapid.SampledFrom([]string{"null", "true", "false", "0", "-1.5e+7", "12"}).Draw(t, "scalar") + around
		}
	})
}

// The walker finds what a decoder that knows nothing of it finds: each name that stands twice, at its place.
func TestTwiceIsFoundWhereADecoderFindsIt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		raw := document(4).Draw(t, "json")
		want := twiceByTokens(t, raw)
		require.Equal(t, want, pointers(new(Shape).Check([]byte(raw))), raw)
		require.Equal(t, want, pointers((*Shape)(nil).Check([]byte(raw))), raw)
	})
}

// twiceByTokens reads the tokens of encoding/json and returns the pointers of repeated names, each once it is done with.
func twiceByTokens(t *rapid.T, raw string) (found []string) {
	dec := json.NewDecoder(strings.NewReader(raw))
	var value func(pointer string)
	value = func(pointer string) {
		token, err := dec.Token()
		require.NoError(t, err)
		switch token {
		case json.Delim('['):
			for i := 0; dec.More(); i++ {
				value(fmt.Sprintf("%s/%d", pointer, i))
			}
		case json.Delim('{'):
			seen := map[string]bool{}
			for dec.More() {
				token, err := dec.Token()
				require.NoError(t, err)
				name := token.(string)
				place := pointer + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
				if seen[name] {
					found = append(found, place)
				}
				seen[name] = true
				value(place)
			}
		default:
			return
		}
		_, err = dec.Token() // the end
		require.NoError(t, err)
	}
	value("")
	_, err := dec.Token()
	require.ErrorIs(t, err, io.EOF)
	return found
}

// From 24 members on names are kept in a map. On both sides of the change a name is found twice, the first and the last one.
func TestTwiceAmongFewAndAmongManyMembers(t *testing.T) {
	t.Parallel()
	for _, count := range []int{1, 2, manyMembers - 1, manyMembers, manyMembers + 1, 3 * manyMembers} {
		var members []string
		for i := range count {
			members = append(members, fmt.Sprintf(`"n%d": {"n0": 1}`, i))
		}
		body := "{" + strings.Join(members, ",")
		require.Empty(t, new(Shape).Check([]byte(body+"}")), "%d members", count)
		for _, again := range []int{0, count / 2, count - 1} {
			want := fmt.Sprintf("/n%d", again)
			require.Equal(t, []string{want}, pointers(new(Shape).Check(fmt.Appendf(nil, `%s,"n%d": 1}`, body, again))), "%d members", count)
		}
	}
}

// A string is refused if and only if its UTF-16 holds a zero or half a pair, however it is escaped.
func TestTextIsRefusedForWhatCannotBeKept(t *testing.T) {
	t.Parallel()
	units := rapid.SampledFrom([]uint16{0, '\\', 0xD7FF, 0xD800, 0xDBFF, 0xDC00, 0xDFFF, 0xE000})
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOfN(units, 0, 6).Draw(t, "units")
		format := rapid.SampledFrom([]string{`\u%04x`, `\u%04X`}).Draw(t, "digits")
		var literal strings.Builder
		lone, zero := false, false
		for i, u := range text {
			_, _ = fmt.Fprintf(&literal, format, u)
			zero = zero || u == 0
			// A half is whole with the one beside it. No unit is half of two pairs.
			high, low := u >= 0xD800 && u < 0xDC00, u >= 0xDC00 && u < 0xE000
			lone = lone || (high && (i+1 == len(text) || utf16.DecodeRune(rune(u), rune(text[i+1])) == 0xFFFD))
			lone = lone || (low && (i == 0 || utf16.DecodeRune(rune(text[i-1]), rune(u)) == 0xFFFD))
		}
		wrong := new(Shape).Check([]byte(`["` + literal.String() + `"]`))
		require.Equal(t, lone || zero, len(wrong) == 1, "%s: %v", literal.String(), wrong)
		if len(wrong) == 1 {
			require.Equal(t, problem.CodeText, wrong[0].Code)
			require.Equal(t, "/0", wrong[0].Pointer)
		}
	})
}

// Lists and objects count alike. What is refused stops the walk: a body of brackets costs no more.
func TestDepthIsThatOfListsAndObjects(t *testing.T) {
	t.Parallel()
	nested := func(open, value, end string, depth int) []byte {
		return []byte(strings.Repeat(open, depth) + value + strings.Repeat(end, depth))
	}
	for _, form := range [][3]string{{"[", "1", "]"}, {`{"a":`, "1", "}"}, {"[", "", "]"}, {`[{"a":`, "{}", "}]"}} {
		per := strings.Count(form[0], "[") + strings.Count(form[0], "{")
		inner := strings.Count(form[1], "{")
		fits := (MaxDepth - inner) / per
		require.Empty(t, new(Shape).Check(nested(form[0], form[1], form[2], fits)), form[0])
		require.Equal(t, []problem.FieldError{{Code: problem.CodeTooDeep, Detail: "is nested deeper than 64 levels"}},
			new(Shape).Check(nested(form[0], form[1], form[2], fits+1)), form[0])
	}
	require.Len(t, new(Shape).Check(nested("[", "", "]", 9_000)), 1)
}

func TestNotJSONSaysWhatTheBytesAreAndWhere(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"":                 "is empty: send JSON",
		"\t\r\n ":          "is empty: send JSON",
		"{]":               "is not valid JSON: byte 2: invalid character ']' looking for beginning of object key string",
		"{\"a\": 01}":      "is not valid JSON: byte 8: invalid character '1' after object key:value pair",
		"[1,]":             "is not valid JSON: byte 4: invalid character ']' looking for beginning of value",
		"a=1&b=2":          "is not valid JSON: byte 1: invalid character 'a' looking for beginning of value",
		"\"a\nb\"":         "is not valid JSON: byte 3: invalid character '\\n' in string literal",
		"[1":               "is not valid JSON: byte 2: unexpected end of JSON input",
		"\xEF\xBB\xBF1":    "begins with a byte order mark (EF BB BF): send UTF-8 without it",
		"\xFF\xFE1\x00":    "is UTF-16: send UTF-8",
		"\xFE\xFF\x001":    "is UTF-16: send UTF-8",
		"\x1F\x8Bx":        "is compressed (gzip): send it as it is",
		"1\x00":            "holds bytes of zero, as UTF-16 and UTF-32 do: send UTF-8",
		"\"\xC3\xA9\xC3\"": "is not valid UTF-8: byte 4",
		"\"\xC0\x80\"":     "is not valid UTF-8: byte 2",
		"\xF4\x90\x80\x80": "is not valid UTF-8: byte 1",
	} {
		require.Equal(t, want, NotJSON([]byte(raw)), "%q", raw)
		require.Equal(t, want, new(Shape).Check([]byte(raw))[0].Detail, "%q", raw)
	}
}

// The replacement character in UTF-8 is a character like any other.
func TestTheReplacementCharacterIsTaken(t *testing.T) {
	t.Parallel()
	require.Empty(t, new(Shape).Check([]byte(`{"a": "\ufffd �"}`)))
	require.Equal(t, "is not valid UTF-8: byte 4", encoding([]byte("�\xff")))
}
