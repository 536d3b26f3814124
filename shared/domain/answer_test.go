package domain

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

const bom = "\xef\xbb\xbf"

func filler(bytes int) string { return strings.Repeat("x", bytes) }

// A BOM, or an echo of the order before the number, lost erp_reference: the order was a success that nobody could find in the ERP.
func TestTheReferenceIsFoundWhereverItStands(t *testing.T) {
	echo := func(bytes int) string {
		return `"order":{"id":"no","items":[{"name":"` + filler(bytes) + `","erp_reference":"no"}]}`
	}
	for name, c := range map[string]struct{ body, want string }{
		"after_a_byte_order_mark":    {bom + `{"erp_reference":"ERP-1"}`, "ERP-1"},
		"after_a_mark_and_blanks":    {bom + "\r\n\t {\"erp_reference\":\"ERP-1\"}", "ERP-1"},
		"after_an_echo_of_64_KiB":    {`{` + echo(MaxResponseBytes) + `,"erp_reference":"ERP-1"}`, "ERP-1"},
		"after_an_echo_of_7_MiB":     {`{` + echo(7<<20) + `,"erp_reference":"ERP-1"}`, "ERP-1"},
		"before_an_echo_without_end": {`{"erp_reference":"ERP-1",` + echo(9<<20) + `}`, "ERP-1"},
		"across_the_end_of_what_is_kept": {
			`{"order":"` + filler(MaxResponseBytes-30) + `","erp_reference":"ERP-1"}`, "ERP-1",
		},
		"in_the_order_of_the_module":   {`{"id":"3","erp_id":"2","erp_reference":"1"}`, "1"},
		"named_erp_id":                 {`{"id":"3","erp_id":"2","erp_reference":null}`, "2"},
		"named_id":                     {`{"id":3,"erp_id":"","erp_reference":" "}`, "3"},
		"not_what_is_nested":           {`{"data":{"erp_reference":"1"}}`, ""},
		"not_in_another_case":          {`{"ERP_REFERENCE":"1"}`, ""},
		"named_with_escapes":           {`{"erp\u005freference":"E\/\u00e9\ud83d\ude00"}`, "E/é😀"},
		"the_last_of_two":              {`{"erp_reference":"1","erp_reference":"2"}`, "2"},
		"the_last_of_two_is_none":      {`{"erp_reference":"1","erp_reference":null,"id":"3"}`, "3"},
		"blanks_at_its_ends":           {`{"erp_reference":" ERP-1\n"}`, "ERP-1"},
		"what_no_column_can_keep":      {`{"erp_reference":"a\u0000b\ud800c"}`, "a\uFFFDb\uFFFDc"},
		"a_number":                     {`{"erp_reference":42}`, "42"},
		"a_number_no_float_can_keep":   {`{"erp_reference":12345678901234567890123}`, "12345678901234567890123"},
		"a_number_with_an_exponent":    {`{"erp_reference":1.2345678E7}`, "12345678"},
		"a_number_with_its_zeros":      {`{"erp_reference":1.50}`, "1.50"},
		"a_tiny_number":                {`{"erp_reference":-15e-3}`, "-0.015"},
		"a_huge_number":                {`{"erp_reference":1.0E22}`, "10000000000000000000000"},
		"not_a_flag":                   {`{"erp_reference":true,"id":7}`, "7"},
		"not_an_object":                {`{"erp_reference":{"id":1},"erp_id":[1],"id":7}`, "7"},
		"text_after_the_object":        {`{"erp_reference":"1"} <!-- 0.3 s -->`, "1"},
		"id_and_text_after_the_object": {`{"id":"1"} <!-- 0.3 s -->`, ""},
		"an_object_without_end":        {`{"erp_reference":"1","lines":[`, "1"},
		"a_number_that_is_cut":         {`{"erp_reference":123`, ""},
		"a_text_that_is_cut":           {`{"erp_reference":"123`, ""},
		"nothing":                      {``, ""},
		"a_list":                       {`[{"erp_reference":"1"}]`, ""},
		"a_text":                       {`"erp_reference"`, ""},
		"markup":                       {`<id>1</id>`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := AnswerReference([]byte(c.body))
			if c.want == "" {
				require.Nil(t, got)
				return
			}
			require.NotNil(t, got)
			require.Equal(t, c.want, *got)
		})
	}
}

// A success without the ERP's number is said where it may have had one, and only there.
func TestAReferenceThatWasLostIsWarnedOf(t *testing.T) {
	long := filler(MaxReferenceBytes + 1)
	for name, c := range map[string]struct{ body, want string }{
		"none_is_named":              {`{"status":"ok"}`, ""},
		"no_json":                    {`<ok/>`, ""},
		"no_json_and_without_end":    {filler(9 << 20), ""},
		"nothing":                    {``, ""},
		"longer_than_is_read":        {`{"order":"` + filler(9<<20) + `","erp_reference":"1"}`, "no number of it was found in its answer: it is longer than the 8 MiB that are read"},
		"longer_and_another_is_read": {`{"id":"7","order":"` + filler(9<<20) + `","erp_reference":"1"}`, "it is longer than the 8 MiB that are read"},
		"utf_16":                     {"\xff\xfe{\x00}\x00", "no number of it was found in its answer, which is UTF-16 and is not read: JSON is UTF-8"},
		"utf_16_the_other_way":       {"\xfe\xff\x00{\x00}", "which is UTF-16 and is not read"},
		"no_json_to_its_end":         {`{"erp_reference": `, "begins as JSON and is none to its end"},
		"too_long":                   {`{"erp_reference":"` + long + `","id":7}`, "its number is not kept: erp_reference has more than 2048 bytes"},
		"too_long_a_number":          {`{"id":1e999999999}`, "its number is not kept: id has more than 2048 bytes"},
		"too_many_digits":            {`{"id":` + strings.Repeat("1", MaxReferenceBytes+1) + `}`, "id has more than 2048 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			o := Classify(Answer{StatusCode: 200, Body: AnswerBodyOf([]byte(c.body))}, AnswerPolicy{}, false, noon)
			require.Equal(t, OutcomeSuccess, o.Kind)
			require.Nil(t, o.Reference)
			if c.want == "" {
				require.Empty(t, o.Warning)
				return
			}
			require.Regexp(t, "^the ERP accepted the order, and ", o.Warning)
			require.Contains(t, o.Warning, c.want)
		})
	}
	longest := filler(MaxReferenceBytes)
	require.Equal(t, longest, *AnswerReference([]byte(`{"erp_reference":"` + longest + `"}`)))
}

// failing is a body that fails after so many bytes.
func failing(body string, err error) io.Reader {
	return io.MultiReader(strings.NewReader(body), iotest.ErrReader(err))
}

func TestABodyThatBreaksOffIsAnAnswerOnceEnoughOfItIsThere(t *testing.T) {
	broken := errors.New("connection reset")
	_, err := ReadAnswerBody(failing(`{"erp_reference":"1","order":"`+filler(1000), broken))
	require.ErrorIs(t, err, broken)
	_, err = ReadAnswerBody(failing(filler(MaxResponseBytes), broken))
	require.ErrorIs(t, err, broken, "nobody knows whether that was all")

	b, err := ReadAnswerBody(failing(`{"erp_reference":"1","order":"`+filler(MaxResponseBytes), broken))
	require.NoError(t, err)
	require.True(t, b.More)
	reference, _ := b.Reference()
	require.Equal(t, "1", *reference)

	b, err = ReadAnswerBody(failing(`{"id":"1","order":"`+filler(MaxResponseBytes), broken))
	require.NoError(t, err)
	reference, warning := b.Reference()
	require.Nil(t, reference)
	require.Equal(t, "the ERP accepted the order, and no number of it was found in its answer: it broke off after 65555 bytes", warning)
}

// endless counts what is read of a body that never ends.
type endless struct {
	start string
	read  int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.start)
	e.start = e.start[n:]
	for i := n; i < len(p); i++ {
		p[i] = 'x'
	}
	e.read += len(p)
	return len(p), nil
}

func TestOfABodyWithoutEndABoundedPartIsRead(t *testing.T) {
	const slack = 16 << 10
	plain := &endless{}
	b, err := ReadAnswerBody(plain)
	require.NoError(t, err)
	require.True(t, b.More)
	require.Len(t, b.Start, MaxResponseBytes)
	require.Less(t, plain.read, MaxResponseBytes+slack, "what is no JSON has no number to look for")

	for _, start := range []string{`{"order":"`, `{"`, `{"erp_reference":"`} {
		object := &endless{start: start}
		b, err = ReadAnswerBody(object)
		require.NoError(t, err)
		require.NotEmpty(t, b.Unread)
		require.LessOrEqual(t, object.read, MaxAnswerBytes+1)
	}
}

// Error objects came out as raw JSON, and pages of proxies as HTML.
func TestErrorsAreToldByTheirText(t *testing.T) {
	const proxy = " (an HTML page: a proxy or a web server may have answered in the ERP's place)"
	for name, c := range map[string]struct{ body, want string }{
		"the_modules":                   {`{"error":"no such sku","message":"m"}`, "no such sku"},
		"the_modules_other":             {`{"error":"","message":"no such sku","errors":["x"]}`, "no such sku"},
		"an_object":                     {`{"error":{"message":"no such sku","code":"SKU"}}`, "no such sku"},
		"an_object_with_a_detail":       {`{"error":{"code":17,"detail":"no such sku"}}`, "no such sku"},
		"an_object_with_a_code_only":    {`{"error":{"code":17}}`, "17"},
		"an_object_without_words":       {`{"error": {"nested": 1}}`, `{"error": {"nested": 1}}`},
		"odata":                         {`{"error":{"code":"005","message":{"lang":"de","value":"Kunde gesperrt für Aufträge"}}}`, "Kunde gesperrt für Aufträge"},
		"a_flag_and_a_message":          {`{"error":true,"message":"no such sku"}`, "no such sku"},
		"problem_details":               {`{"type":"about:blank","title":"Bad order","status":422,"detail":"no such sku"}`, "Bad order: no such sku"},
		"problem_details_with_errors":   {`{"title":"Bad order","errors":[{"pointer":"/sku","detail":"is unknown"},{"detail":"qty is 0"}]}`, "Bad order: is unknown; qty is 0"},
		"a_title":                       {`{"title":"Bad order"}`, "Bad order"},
		"a_detail":                      {`{"detail":"no such sku"}`, "no such sku"},
		"a_detail_that_is_a_list":       {`{"detail":[{"loc":["body","sku"],"msg":"field required"}]}`, "field required"},
		"a_list_of_texts":               {`{"errors":["no such sku","no such customer"]}`, "no such sku; no such customer"},
		"a_list_of_objects":             {`{"errors":[{"code":1,"message":"no such sku"},{"code":2,"message":"no such customer"}]}`, "no such sku; no such customer"},
		"errors_by_field":               {`{"errors":{"sku":["is unknown"],"qty":["is 0","is low"]}}`, "sku: is unknown; qty: is 0; is low"},
		"a_list":                        {`[{"message":"no such sku","errorCode":"SKU"}]`, "no such sku"},
		"a_text":                        {`"no such sku"`, "no such sku"},
		"words_after_a_byte_order_mark": {bom + `{"error":"no such sku"}`, "no such sku"},
		"plain_after_a_byte_order_mark": {bom + " no such sku\n", "no such sku"},
		"an_error_and_a_long_trace":     {`{"trace":"` + filler(100<<10) + `","message":"no such sku"}`, "no such sku"},
		"utf_16":                        {"\xff\xfe{\x00}\x00", "a body in UTF-16, which is not read: JSON is UTF-8"},
		"json_without_words":            {`{"ok":false}`, `{"ok":false}`},
		"json_that_is_cut":              {`{"error":"no such sku","trace":"`, "no such sku"},
		"nothing":                       {" \n", "HTTP 422 without a body"},
		"a_page":                        {"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>…</body></html>", "502 Bad Gateway" + proxy},
		"a_page_in_capitals":            {"<!DOCTYPE HTML PUBLIC \"-//IETF//DTD HTML 2.0//EN\">\n<HTML><HEAD>\n<TITLE>\n403  Forbidden &amp; more\n</TITLE></HEAD></HTML>", "403 Forbidden & more" + proxy},
		"a_page_with_a_heading":         {`<!-- x --><html><body><h1 class="a">The <b>ERP</b> is away</h1></body></html>`, "The ERP is away" + proxy},
		"a_page_without_words":          {`<html><body></body></html>`, "an HTML page without a title: a proxy or a web server may have answered in the ERP's place"},
		"a_page_that_is_cut":            {`<html><title>502 Bad`, "an HTML page without a title: a proxy or a web server may have answered in the ERP's place"},
		"xml_is_no_page":                {`<error><title>no such sku</title></error>`, `<error><title>no such sku</title></error>`},
		"plain":                         {"no such sku\n", "no such sku"},
	} {
		t.Run(name, func(t *testing.T) {
			o := Classify(Answer{StatusCode: 422, Body: AnswerBodyOf([]byte(c.body))}, AnswerPolicy{}, false, noon)
			require.Equal(t, Outcome{Kind: OutcomeFinal, Code: ErrorRejected, Error: c.want}, o)
		})
	}
}

// One long member must not take the room of those after it, and no text is longer than an error may be.
func TestWordsAreBounded(t *testing.T) {
	many := strings.Repeat(`{"message":"`+filler(500)+`"},`, 1000)
	for _, body := range []string{
		`{"error":"` + filler(1<<20) + `"}`, `{"errors":[` + many + `{}]}`, filler(1 << 20), `{"errors":{"` + filler(1<<20) + `":"x"}}`,
		`{"errors":` + strings.Repeat(`[`, 900) + strings.Repeat(`]`, 900) + `,"error":"x"}`,
		`<html><title>` + filler(10<<10) + `</title>`,
	} {
		o := Classify(Answer{StatusCode: 500, Body: AnswerBodyOf([]byte(body))}, AnswerPolicy{}, false, noon)
		require.NotEmpty(t, o.Error)
		require.LessOrEqual(t, len(o.Error), MaxErrorBytes)
	}
	b := AnswerBodyOf([]byte(`{"errors":[` + many + `{}],"erp_reference":"ERP-1"}`))
	reference, _ := b.Reference()
	require.Equal(t, "ERP-1", *reference)
}

// 101 was an answer that ended an order as failed, and its connection held the call for ever.
func TestWhatIsNoAnswerIsTriedAgain(t *testing.T) {
	body := AnswerBodyOf([]byte(`{"erp_reference":"1"}`))
	for name, c := range map[string]struct {
		answer Answer
		want   string
	}{
		"a_switch_of_protocols": {
			Answer{StatusCode: 101, Target: "http://erp/orders/sync"},
			"http://erp/orders/sync sent HTTP 101 and no answer: check that erp_base_url names the ERP's HTTP API, and the proxies before it",
		},
		"a_success_before_the_order_was_sent": {
			Answer{StatusCode: 200, Target: "http://erp/orders/sync", Unsent: 7, Body: body},
			"HTTP 200 came while 7 bytes of the order were still to be sent, so http://erp/orders/sync cannot have read it: check that erp_base_url names the ERP, and the proxies before it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, before := range []bool{false, true} {
				require.Equal(t, Outcome{Kind: OutcomeRetryable, Code: ErrorNetwork, Error: c.want, Doubtful: true}, Classify(c.answer, AnswerPolicy{}, before, noon))
			}
		})
	}
	refused := Classify(Answer{StatusCode: 413, Unsent: 7}, AnswerPolicy{}, false, noon)
	require.Equal(t, OutcomeFinal, refused.Kind, "a refusal needs no more of the order")
}

func TestReferencesOfCallbacksAreReadAsThoseOfAnswers(t *testing.T) {
	for raw, want := range map[string]string{
		`"ERP-1"`: "ERP-1", `" ERP-1 "`: "ERP-1", `""`: "", `null`: "", `42`: "42", `1.50`: "1.50", `1E7`: "10000000", `-0`: "-0", `0e5`: "0",
		`12345678901234567890123`: "12345678901234567890123",
	} {
		var c struct{ R Reference }
		require.NoError(t, json.Unmarshal([]byte(`{"R":`+raw+`}`), &c), raw)
		require.EqualValues(t, want, c.R, raw)
		require.NoError(t, c.R.Validate())
		got := AnswerReference([]byte(`{"erp_reference":` + raw + `}`))
		require.Equal(t, c.R.Text(), got, raw)
	}
	for raw, want := range map[string]string{`{}`: "object", `[]`: "array", `true`: "bool"} {
		var c struct {
			R Reference `json:"r"`
		}
		var wrong *json.UnmarshalTypeError
		require.ErrorAs(t, json.Unmarshal([]byte(`{"r":`+raw+`}`), &c), &wrong)
		require.Equal(t, []string{"r", want}, []string{wrong.Field, wrong.Value})
	}
	for _, raw := range []string{`1e99999999999999999999`, `-1E-3000`, strings.Repeat("1", MaxReferenceBytes+1)} {
		var r Reference
		require.NoError(t, json.Unmarshal([]byte(raw), &r))
		require.ErrorContains(t, r.Validate(), "has more than 2048 bytes")
	}
	require.ErrorContains(t, Reference(filler(MaxReferenceBytes+1)).Validate(), "has more than 2048 bytes")
}
