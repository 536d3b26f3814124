package strictjson_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/strictjson"
)

// command is a body whose door knows all its members.
type command struct {
	Order  string   `json:"orderIncrementId"`
	Source string   `json:"source"`
	NewKey bool     `json:"newKey"`
	Kinds  []string `json:"kinds"`
	Items  []struct {
		SKU   string  `json:"sku"`
		Count int     `json:"count"`
		Small uint8   `json:"small"`
		Share float64 `json:"share"`
	} `json:"items"`
	Hidden string `json:"-"`
}

var (
	open   = strictjson.ShapeOf[command]()
	closed = open.Closed()
)

func at(pointer, code, detail string) problem.FieldError {
	return problem.FieldError{Pointer: pointer, Code: code, Detail: detail}
}

// A callback with one member twice, or in two spellings of case, or in bytes that are no UTF-8, settled an order; a
// misspelt member of a command was passed over, and the command went to another shop's order.
func TestReadRefusesWhatMayMeanTwoThings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body  string
		shape *strictjson.Shape
		want  []problem.FieldError
	}{
		"a_member_twice": {`{"source": "a", "source": "b"}`, open, []problem.FieldError{at("/source", "twice", "stands there twice; send it once")}},
		"twice_by_an_escape": {`{"source": "a", "so\u0075rce": "b"}`, open, []problem.FieldError{
			at("/source", "twice", "stands there twice; send it once"),
		}},
		"an_unknown_member_twice": {`{"note": {"a": 1, "b": [{"c": 1, "c": 2}]}}`, open, []problem.FieldError{
			at("/note/b/0/c", "twice", "stands there twice; send it once"),
		}},
		"in_another_case": {`{"SOURCE": "b"}`, open, []problem.FieldError{at("/SOURCE", "case", `is written "SOURCE"; write it "source"`)}},
		"in_letters_that_fold_to_ours": {`{"ſource": "b", "new\u212aey": true}`, open, []problem.FieldError{
			at("/ſource", "case", `is written "ſource"; write it "source"`),
			at("/new\u212aey", "case", "is written \"new\u212aey\"; write it \"newKey\""),
		}},
		"in_a_list": {`{"items": [{}, {"SKU": "A"}]}`, open, []problem.FieldError{at("/items/1/SKU", "case", `is written "SKU"; write it "sku"`)}},
		"an_unknown_member_where_all_are_known": {`{"sourec": "b", "items": [{"colour": 1}], "zzz": 1}`, closed, []problem.FieldError{
			at("/sourec", "unknown", "is not known here: did you mean source?"),
			at("/items/0/colour", "unknown", "is not known here: there are count, share, sku, small"),
			at("/zzz", "unknown", "is not known here: there are items, kinds, newKey, orderIncrementId, source"),
		}},
		"an_unknown_member_where_others_may_be": {`{"sourec": "b", "gift": {"Name": 1, "name": 2}}`, open, nil},
		"a_field_that_is_none":                  {`{"Hidden": "b"}`, closed, []problem.FieldError{at("/Hidden", "unknown", "is not known here: there are items, kinds, newKey, orderIncrementId, source")}},
		"trailing_data":                         {`{} {}`, open, []problem.FieldError{at("", "not_json", "is not valid JSON: byte 4: invalid character '{' after top-level value")}},
		"nothing":                               {" \n", open, []problem.FieldError{at("", "not_json", "is empty: send JSON")}},
		"cut_off":                               {`{"source": `, open, []problem.FieldError{at("", "not_json", "is not valid JSON: byte 11: unexpected end of JSON input")}},
		"no_utf8":                               {"{\"source\": \"\xff\"}", open, []problem.FieldError{at("", "not_utf8", "is not valid UTF-8: byte 13")}},
		"half_a_character_in_bytes":             {"{\"source\": \"\xed\xa0\x80\"}", open, []problem.FieldError{at("", "not_utf8", "is not valid UTF-8: byte 13")}},
		"a_byte_order_mark":                     {"\xEF\xBB\xBF{}", open, []problem.FieldError{at("", "not_utf8", "begins with a byte order mark (EF BB BF): send UTF-8 without it")}},
		"utf_16":                                {"\xFF\xFE{\x00}\x00", open, []problem.FieldError{at("", "not_utf8", "is UTF-16: send UTF-8")}},
		"utf_16_without_a_mark":                 {"\x00{\x00}", open, []problem.FieldError{at("", "not_utf8", "holds bytes of zero, as UTF-16 and UTF-32 do: send UTF-8")}},
		"gzip":                                  {"\x1f\x8b\x08\x00", open, []problem.FieldError{at("", "not_utf8", "is compressed (gzip): send it as it is")}},
		"u0000": {`{"source": "\u0000", "note\u0000": 1}`, open, []problem.FieldError{
			at("/source", "text", "contains U+0000, which cannot be stored; remove it"),
			at("/note\x00", "text", "contains U+0000, which cannot be stored; remove it"),
		}},
		"half_characters": {`{"source": "\ud83dx", "kinds": ["\ud83d\ude00", "\uDE00"]}`, open, []problem.FieldError{
			at("/source", "text", `contains the lone surrogate \ud83d; send whole characters`),
			at("/kinds/1", "text", `contains the lone surrogate \ude00; send whole characters`),
		}},
		"escaped_backslashes": {`{"source": "\\u0000 \\ud800 \\\\u0000"}`, open, nil},
		"numbers_that_do_not_fit": {`{"items": [{"count": 1e300, "small": 256, "share": 1e400}, {"count": 99999999999999999999, "small": -1, "share": "1"}]}`, open, []problem.FieldError{
			at("/items/0/count", "type", "is a JSON number 1e300; it must be a whole number"),
			at("/items/0/small", "range", "is 256, which does not fit; it must be a whole number from 0 to 255"),
			at("/items/0/share", "range", "is 1e400, which does not fit; it must be a number"),
			at("/items/1/count", "range", "is 99999999999999999999, which does not fit; it must be a whole number from -9223372036854775808 to 9223372036854775807"),
			at("/items/1/small", "range", "is -1, which does not fit; it must be a whole number from 0 to 255"),
			at("/items/1/share", "type", "is a JSON string; it must be a number"),
		}},
		"other_types": {`{"orderIncrementId": 123, "newKey": "yes", "kinds": {"a": 1}, "items": 7}`, closed, []problem.FieldError{
			at("/orderIncrementId", "type", "is a JSON number; it must be a string"),
			at("/newKey", "type", "is a JSON string; it must be true or false"),
			at("/kinds", "type", "is a JSON object; it must be an array"),
			at("/items", "type", "is a JSON number; it must be an array"),
		}},
		"no_object": {`[]`, closed, []problem.FieldError{at("", "type", "is a JSON array; it must be an object")}},
		"too_deep": {strings.Repeat("[", 65) + strings.Repeat("]", 65), open, []problem.FieldError{
			at("", "too_deep", "is nested deeper than 64 levels"),
		}},
		"just_not_too_deep": {`{"note": ` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`, open, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, strictjson.Read([]byte(c.body), new(command), c.shape))
		})
	}
}

// What fills a body with problems is answered with some of them, and in no time: pairs of names are not compared one by one.
func TestABodyFullOfProblems(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 100_000 {
		_, _ = fmt.Fprintf(&b, `"n%d": "\u0000",`, i%50_000)
	}
	wrong := strictjson.ShapeOf[command]().Check([]byte("{" + strings.TrimSuffix(b.String(), ",") + "}"))
	require.Len(t, wrong, 100)
}

// With another shape at a member that says nothing of itself, names are known below it too.
func TestShapesAreJoined(t *testing.T) {
	t.Parallel()
	type envelope struct {
		Order json.RawMessage `json:"order"`
	}
	s := strictjson.ShapeOf[envelope]().With("order", open)
	require.Equal(t, []problem.FieldError{at("/order/Source", "case", `is written "Source"; write it "source"`)}, s.Check([]byte(`{"order": {"Source": 1}}`)))
	require.Empty(t, strictjson.ShapeOf[envelope]().Check([]byte(`{"order": {"Source": 1}}`)))
	require.Equal(t, []problem.FieldError{at("/speed", "unknown", "is not known here: there are debug, enabled")},
		strictjson.Members("enabled", "debug").Closed().Check([]byte(`{"debug": [{"Debug": 1}], "speed": 1}`)))
}

// FuzzRead: whatever comes in, Read answers; and what it lets through means one thing to every reader: it has no name twice,
// no half character, and reads the same once it was written anew.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		`{"orderIncrementId": "000000123", "sourec": "outlet"}`,
		`{"status":"rejected","STATUS":"accepted"}`,
		`{"source":"a","so\u0075rce":"b"}`,
		`{"source":"\u0000"}`, `{"source":"\ud800"}`, "{\"source\":\"\xff\"}", "\xEF\xBB\xBF{}", `{"ſource":1}`,
		`{"items":[{"count":1e300,"small":-1}]}`, `{} {}`, `[[[]]]`, `{"newKey":true,"reason":"\ud83d\ude00"}`, `null`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var c command
		if len(strictjson.Read(raw, &c, closed)) > 0 {
			return
		}
		dec := json.NewDecoder(strings.NewReader(string(raw)))
		dec.DisallowUnknownFields()
		var again command
		require.NoError(t, dec.Decode(&again))
		require.True(t, reflect.DeepEqual(c, again))
		require.NotContains(t, string(raw), "\x00")
		var members map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(raw, &members))
		for name := range members {
			require.True(t, slices.Contains([]string{"orderIncrementId", "source", "newKey", "kinds", "items"}, name), name)
		}
		require.NotContains(t, c.Source+c.Order, "\x00")
	})
}

// Valid and Compact are those of encoding/json: what a release took, and the bytes it kept, the next one takes and keeps.
func FuzzCompact(f *testing.F) {
	for _, seed := range []string{
		` { "a" : [ 1 , -0.50e+3 , "b\u0041 \"\\ \ud800" , null ] , "a" : true } `, "\"\xff\"", `{}`, `[]`, ``, `[1 2]`, `01`, `"` + "\x01" + `"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := string(raw)
		require.Equal(t, json.Valid(raw), strictjson.Valid(raw))
		compact := strictjson.Compact(raw)
		require.Equal(t, before, string(raw))
		var want bytes.Buffer
		if json.Compact(&want, raw) == nil {
			require.Equal(t, want.String(), string(compact))
		}
	})
}
