package strictjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// even reads itself, and says what it takes.
type even int

func (e *even) UnmarshalJSON(raw []byte) error {
	var n int
	if err := json.Unmarshal(raw, &n); err != nil {
		return err
	}
	if n%2 != 0 {
		return errors.New("is odd")
	}
	*e = even(n)
	return nil
}

func (even) JSONForm() string { return "an even number" }

type line struct {
	Even  even     `json:"even"`
	Count *int     `json:"count"`
	Rows  [][]int8 `json:"rows"`
	Slash struct {
		Flag bool `json:"flag"`
	} `json:"a/b~c"`
}

func TestDecodeSaysOfEachValueWhereItDoesNotFit(t *testing.T) {
	t.Parallel()
	type wrong = []problem.FieldError
	for name, c := range map[string]struct {
		body string
		want wrong
	}{
		"all_fits":                 {`{"even": 2, "count": 1, "rows": [[1], null, []], "a/b~c": {"flag": true}}`, nil},
		"null_fits_everywhere":     {`{"even": null, "count": null, "rows": null, "a/b~c": null}`, nil},
		"a_type_that_reads_itself": {`{"even": 3}`, wrong{{Pointer: "/at/even", Code: "invalid", Detail: "is odd"}}},
		"the_form_of_such_a_type":  {`{"even": "2"}`, wrong{{Pointer: "/at/even", Code: "type", Detail: "is a JSON string; it must be an even number"}}},
		"a_pointer":                {`{"count": true}`, wrong{{Pointer: "/at/count", Code: "type", Detail: "is a JSON bool; it must be a whole number"}}},
		"lists_in_lists": {`{"rows": [[1, 300], 5, [-129]]}`, wrong{
			{Pointer: "/at/rows/0/1", Code: "range", Detail: "is 300, which does not fit; it must be a whole number from -128 to 127"},
			{Pointer: "/at/rows/1", Code: "type", Detail: "is a JSON number; it must be an array"},
			{Pointer: "/at/rows/2/0", Code: "range", Detail: "is -129, which does not fit; it must be a whole number from -128 to 127"},
		}},
		"a_name_with_a_slash_and_a_tilde": {`{"a/b~c": {"flag": 1}}`, wrong{{Pointer: "/at/a~1b~0c/flag", Code: "type", Detail: "is a JSON number; it must be true or false"}}},
		"a_fraction":                      {`{"count": 1.5}`, wrong{{Pointer: "/at/count", Code: "type", Detail: "is a JSON number 1.5; it must be a whole number"}}},
		"another_kind":                    {`[]`, wrong{{Pointer: "/at", Code: "type", Detail: "is a JSON array; it must be an object"}}},
		"a_value_that_is_long": {`{"count": ` + strings.Repeat("9", 41) + `}`, wrong{{
			Pointer: "/at/count", Code: "range",
			Detail: "is " + strings.Repeat("9", 40) + "…, which does not fit; it must be a whole number from -9223372036854775808 to 9223372036854775807",
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, Decode("/at", []byte(c.body), new(line)))
		})
	}
}

// A list of a million wrong values is answered with some of them.
func TestDecodeTellsSomeOfMany(t *testing.T) {
	t.Parallel()
	var v []bool
	wrong := Decode("", []byte("["+strings.Repeat("1,", 999_999)+"1]"), &v)
	require.Len(t, wrong, maxProblems)
	require.Equal(t, "/99", wrong[99].Pointer)
}

// What typeMismatches finds nothing wrong with is told in the decoder's own words.
func TestDecodeOfAKindWithoutAPlace(t *testing.T) {
	t.Parallel()
	var m map[string]int
	require.Equal(t, []problem.FieldError{{Pointer: "/at", Code: "type", Detail: "is a JSON string; it must be an object"}}, Decode("/at", []byte(`{"a": "x"}`), &m))
	require.Equal(t, []problem.FieldError{{Code: "invalid", Detail: "json: Unmarshal(non-pointer map[string]int)"}}, Decode("", []byte(`{}`), m))
}

// The bounds that a message tells are those of the decoder: it takes them, and refuses the next number beyond.
func TestTheRangeOfEachWholeNumberIsThatOfTheDecoder(t *testing.T) {
	t.Parallel()
	for typ, bounds := range map[reflect.Type][2]string{
		reflect.TypeFor[int8]():   {fmt.Sprint(math.MinInt8), fmt.Sprint(math.MaxInt8)},
		reflect.TypeFor[int16]():  {fmt.Sprint(math.MinInt16), fmt.Sprint(math.MaxInt16)},
		reflect.TypeFor[int32]():  {fmt.Sprint(math.MinInt32), fmt.Sprint(math.MaxInt32)},
		reflect.TypeFor[int64]():  {fmt.Sprint(math.MinInt64), fmt.Sprint(math.MaxInt64)},
		reflect.TypeFor[uint8]():  {"0", fmt.Sprint(math.MaxUint8)},
		reflect.TypeFor[uint16](): {"0", fmt.Sprint(math.MaxUint16)},
		reflect.TypeFor[uint32](): {"0", fmt.Sprint(math.MaxUint32)},
		reflect.TypeFor[uint64](): {"0", fmt.Sprint(uint64(math.MaxUint64))},
	} {
		require.Equal(t, fmt.Sprintf(" from %s to %s", bounds[0], bounds[1]), rangeOf(typ), typ)
		for _, bound := range bounds {
			require.NoError(t, json.Unmarshal([]byte(bound), reflect.New(typ).Interface()), typ)
		}
	}
	require.Empty(t, rangeOf(reflect.TypeFor[float64]()))
}

// Whatever JSON stands at a place, Decode finds something wrong if and only if the decoder does.
func TestDecodeAgreesWithTheDecoder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.SampledFrom([]string{"null", "true", `"x"`, "1", "2", "-1", "200", "1.5", "1e400", "[]", "[[1]]", "[[1000]]", "{}", `{"flag": 1}`, `{"flag": true}`})
		raw := fmt.Appendf(nil, `{"even": %s, "count": %s, "rows": %s, "a/b~c": %s}`,
			value.Draw(t, "even"), value.Draw(t, "count"), value.Draw(t, "rows"), value.Draw(t, "object"))
		wrong := Decode("", raw, new(line))
		require.Equal(t, json.Unmarshal(raw, new(line)) != nil, len(wrong) > 0, "%s: %v", raw, wrong)
		for _, w := range wrong {
			require.NotEmpty(t, w.Pointer, "each has its place")
		}
	})
}

func TestShownCutsCharactersAndNotBytes(t *testing.T) {
	t.Parallel()
	require.Equal(t, strings.Repeat("é", maxShown), shown(strings.Repeat("é", maxShown)))
	require.Equal(t, strings.Repeat("é", maxShown)+"…", shown(strings.Repeat("é", maxShown+1)))
}
