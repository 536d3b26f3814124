package domain_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// answered are answers as ERPs and frameworks write them, and what they say of the error.
var answered = map[string]struct {
	body string
	want domain.AnswerError
}{
	"plain":                             {`{"code":"ORD-17","message":"no such sku A-1","field":"items[3].sku"}`, domain.AnswerError{Code: "ORD-17", Field: "items[#].sku"}},
	"plain_of_a_dotnet_service":         {`{"ErrorCode":"NoSuchSku","Message":"…","PropertyName":"Items[0].Sku"}`, domain.AnswerError{Code: "NoSuchSku", Field: "Items[#].Sku"}},
	"a_number_as_code":                  {`{"code":4711,"message":"no such sku"}`, domain.AnswerError{Code: "4711"}},
	"beside_an_error_in_words":          {`{"error":"no such sku","error_code":"E12"}`, domain.AnswerError{Code: "E12"}},
	"around_an_error_without_a_code":    {`{"code":"E12","error":{"message":"no such sku","field":"sku"}}`, domain.AnswerError{Code: "E12", Field: "sku"}},
	"problem_type":                      {`{"type":"https://erp.example/problems/no-such-sku","title":"No such SKU","status":422}`, domain.AnswerError{Code: "https://erp.example/problems/no-such-sku"}},
	"problem_code_and_pointer":          {`{"type":"https://erp.example/p/invalid","title":"Invalid","code":"sku_unknown","errors":[{"detail":"…","pointer":"#/items/0/sku"}]}`, domain.AnswerError{Code: "sku_unknown", Field: "items[#].sku"}},
	"problem_type_with_details":         {`{"type":"urn:erp:invalid","title":"Invalid","errors":[{"detail":"…","pointer":"/items/12/qty"}]}`, domain.AnswerError{Code: "urn:erp:invalid", Field: "items[#].qty"}},
	"problem_invalid_params":            {`{"type":"/invalid","title":"Invalid","invalid-params":[{"name":"customer.email","reason":"…"}]}`, domain.AnswerError{Code: "/invalid", Field: "customer.email"}},
	"problem_of_nobodys_choice":         {`{"type":"https://tools.ietf.org/html/rfc9110#section-15.5.1","title":"One or more validation errors occurred.","errors":{"Items[0].Sku":["unknown"]}}`, domain.AnswerError{Field: "Items[#].Sku"}},
	"problem_about_blank":               {`{"type":"about:blank","title":"Bad Request"}`, domain.AnswerError{}},
	"a_type_that_is_no_problems":        {`{"type":"a/b","text":"…"}`, domain.AnswerError{}},
	"business_central":                  {`{"error":{"code":"Internal_DataNotFoundFilter","message":"…  CorrelationId:  8c91e9f0-0000-4000-8000-000000000000."}}`, domain.AnswerError{Code: "Internal_DataNotFoundFilter"}},
	"odata_details":                     {`{"error":{"code":"BadRequest","message":"…","target":"order","details":[{"code":"NoStock","target":"salesOrderLines(17)/quantity"}]}}`, domain.AnswerError{Code: "NoStock", Field: "salesOrderLines[#].quantity"}},
	"odata_without_details":             {`{"error":{"code":"0x80040265","message":"…","target":"quantity","details":[]}}`, domain.AnswerError{Code: "0x80040265", Field: "quantity"}},
	"finance_and_operations":            {`{"error":{"code":"","message":"An error has occurred.","innererror":{"message":"…","type":"Microsoft.Dynamics.UpdateException","stacktrace":"…"}}}`, domain.AnswerError{Code: "Microsoft.Dynamics.UpdateException"}},
	"sap":                               {`{"error":{"code":"SY/530","message":{"lang":"en","value":"…"},"innererror":{"errordetails":[{"code":"CX_SALES/045","message":"…","propertyref":"Items(1)/Sku"}]}}}`, domain.AnswerError{Code: "CX_SALES/045", Field: "Items[#].Sku"}},
	"sap_business_one":                  {`{"error":{"code":-5002,"message":{"lang":"en-us","value":"…"}}}`, domain.AnswerError{Code: "-5002"}},
	"sap_business_one_with_empty_parts": {`{"error":{"code":"-2028","details":[{"code":"","message":""}],"message":"…"}}`, domain.AnswerError{Code: "-2028"}},
	"a_code_in_an_object":               {`{"error":{"code":{"value":"E-7"},"message":{"value":"…"}}}`, domain.AnswerError{Code: "E-7"}},
	"odoo":                              {`{"jsonrpc":"2.0","error":{"code":200,"message":"Odoo Server Error","data":{"name":"odoo.exceptions.ValidationError","debug":"…","message":"…","arguments":["Jane"]}}}`, domain.AnswerError{Code: "odoo.exceptions.ValidationError"}},
	"json_api":                          {`{"errors":[{"status":"422","code":"SKU_UNKNOWN","source":{"pointer":"/data/attributes/items/7/sku"}}]}`, domain.AnswerError{Code: "SKU_UNKNOWN", Field: "data.attributes.items[#].sku"}},
	"json_api_parameter":                {`{"errors":[{"code":"X1","source":{"parameter":"warehouse"}}]}`, domain.AnswerError{Code: "X1", Field: "warehouse"}},
	"the_first_entry_that_has_a_field":  {`{"errors":[{"code":"A"},{"code":"B","path":["items",0,"sku"]},{"code":"C","field":"qty"}]}`, domain.AnswerError{Code: "B", Field: "items[#].sku"}},
	"the_first_entry_that_has_a_code":   {`{"errors":[{"message":"…"},{"code":"A"},{"code":"B"}]}`, domain.AnswerError{Code: "A"}},
	"netsuite":                          {`{"type":"https://www.w3.org/Protocols/rfc2616/rfc2616-sec10.html#sec10.4.1","title":"Bad Request","o:errorDetails":[{"detail":"…","o:errorPath":"item.items[0].quantity","o:errorCode":"USER_ERROR"}]}`, domain.AnswerError{Code: "USER_ERROR", Field: "item.items[#].quantity"}},
	"salesforce":                        {`[{"message":"…","errorCode":"REQUIRED_FIELD_MISSING","fields":["Sku__c"]}]`, domain.AnswerError{Code: "REQUIRED_FIELD_MISSING", Field: "Sku__c"}},
	"symfony":                           {`{"title":"…","detail":"…","violations":[{"propertyPath":"items[0].sku","message":"…","code":"c1051bb4-d103-4f74-8988-acbcafc7fdc3"}]}`, domain.AnswerError{Field: "items[#].sku"}},
	"laravel":                           {`{"message":"The given data was invalid.","errors":{"items.0.sku":["is unknown"],"items.1.sku":["is unknown"]}}`, domain.AnswerError{Field: "items[#].sku"}},
	"fastapi":                           {`{"detail":[{"loc":["body","items",0,"sku"],"msg":"field required","type":"missing"}]}`, domain.AnswerError{Code: "missing", Field: "body.items[#].sku"}},
	"magento":                           {`{"message":"\"%fieldName\" is required. Enter and try again.","parameters":{"fieldName":"street","value":"Jane"}}`, domain.AnswerError{Field: "street"}},
	"magento_positions_are_values":      {`{"message":"no such entity with %1","parameters":["jane@example.test"]}`, domain.AnswerError{}},
	"magento_errors":                    {`{"message":"…","errors":[{"message":"%fieldName","parameters":{"fieldName":"sku"}}]}`, domain.AnswerError{Field: "sku"}},
	"an_error_in_members_of_its_own":    {`{"errors":{"message":"no","trace":"at …"}}`, domain.AnswerError{}},
	"details_are_no_list_by_field":      {`{"details":{"customer":"Jane"}}`, domain.AnswerError{}},
	"the_path_of_the_request":           {`{"timestamp":1,"status":500,"error":"Internal Server Error","path":"/api/orders"}`, domain.AnswerError{}},
	"an_http_status_is_no_code":         {`{"code":422,"message":"…"}`, domain.AnswerError{}},
	"words_are_no_code":                 {`{"code":"no such sku","field":"the sku"}`, domain.AnswerError{}},
	"a_customer_is_no_code":             {`{"code":"jane@example.test","errors":{"jane@example.test":["is unknown"]},"field":"jane@example.test"}`, domain.AnswerError{}},
	"a_phone_number_is_no_code":         {`{"code":4915112345678}`, domain.AnswerError{}},
	"an_id_is_no_code":                  {`{"code":"8c91e9f0-0000-4000-8000-000000000000"}`, domain.AnswerError{}},
	"control_characters":                {`{"code":" E1\n","field":"s\u0000ku"}`, domain.AnswerError{Code: "E1"}},
	"too_long":                          {`{"code":"` + strings.Repeat("E", 101) + `","field":"` + strings.Repeat("f", 121) + `"}`, domain.AnswerError{}},
	"the_last_of_a_name":                {`{"code":"A","code":"B"}`, domain.AnswerError{Code: "B"}},
	"with_a_byte_order_mark":            {"\uFEFF" + `{"code":"A"}`, domain.AnswerError{Code: "A"}},
	"what_broke_off":                    {`{"error":{"code":"A","message":"…`, domain.AnswerError{Code: "A"}},
	"a_trace_beyond_what_is_read":       {`{"error":{"code":"A","trace":"` + strings.Repeat("at …", domain.MaxAnswerErrorBytes) + `"},"code":"B"}`, domain.AnswerError{Code: "A"}},
	"a_code_beyond_what_is_read":        {`{"trace":"` + strings.Repeat("x", domain.MaxAnswerErrorBytes) + `","code":"A"}`, domain.AnswerError{}},
	"a_page":                            {`<html><title>502</title></html>`, domain.AnswerError{}},
	"a_text":                            {`"E1"`, domain.AnswerError{}},
	"nothing":                           {``, domain.AnswerError{}},
	"utf_16":                            {"\xff\xfe{\x00}\x00", domain.AnswerError{}},
}

func TestAnAnswerSaysCodeAndField(t *testing.T) {
	t.Parallel()
	for name, c := range answered {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, domain.AnswerErrorOf(c.body))
		})
	}
}

func TestPathsOfOneFieldAreTheSame(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"items[0].sku": "items[#].sku", "items[12].sku": "items[#].sku", "items.7.sku": "items[#].sku", "/items/3/sku": "items[#].sku",
		"#/items/3/sku": "items[#].sku", "$.items[3]['sku']": "items[#].sku", "items[3][sku]": "items[#].sku", "items(3)/sku": "items[#].sku",
		"Items(Order='1',Line=2)/Sku": "Items[#].Sku", "items[*].sku": "items[#].sku", "items[].sku": "items[#].sku", "/items/-": "items[#]",
		"items/8c91e9f0-0000-4000-8000-000000000000/sku": "items[#].sku", "line_12345678.sku": "line_#.sku", "[3].sku": "[#].sku",
		"address1": "address1", "straße": "straße", "No.": "No",
		"": "", "3": "", "$": "", "/": "", "the sku": "", "jane@example.test": "", "items[0": "", "a\nb": "", "a\u202eb": "", "+49 151": "", "a\xffb": "",
	} {
		require.Equal(t, want, domain.FieldPath(path), path)
	}
}

// Whatever an ERP answers, the two are short, and hold nothing that a terminal obeys and no e-mail address.
func requireTidy(t require.TestingT, e domain.AnswerError) {
	require.LessOrEqual(t, len(e.Code), 100)
	require.LessOrEqual(t, len(e.Field), 120)
	for _, text := range []string{e.Code, e.Field} {
		require.NoError(t, domain.PlainText(text))
		require.NotContains(t, text, "@")
		require.False(t, strings.ContainsFunc(text, unicode.IsSpace))
	}
	require.Equal(t, e.Field, domain.FieldPath(e.Field), "what was normalised once stays as it is")
}

func FuzzAnswerErrorOf(f *testing.F) {
	for _, c := range answered {
		f.Add(c.body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		requireTidy(t, domain.AnswerErrorOf(body))
		requireTidy(t, domain.AnswerError{Field: domain.FieldPath(body)})
	})
}

// The same error of another line is the same, whatever the form; one of another field is not.
func TestLinesAreNotToldApart(t *testing.T) {
	t.Parallel()
	forms := []string{
		`{"code":%[1]q,"field":"items[%[2]d].%[3]s"}`, `{"error":{"code":%[1]q,"target":"items(%[2]d)/%[3]s"}}`, `{"code":%[1]q,"errors":{"items.%[2]d.%[3]s":["no"]}}`,
		`{"errors":[{"code":%[1]q,"source":{"pointer":"/items/%[2]d/%[3]s"}}]}`, `{"errors":[{"code":%[1]q,"path":["items",%[2]d,%[3]q]}]}`,
	}
	rapid.Check(t, func(t *rapid.T) {
		form, code := rapid.SampledFrom(forms).Draw(t, "form"), rapid.StringMatching(`[A-Z]{1,10}-[0-9]{1,6}`).Draw(t, "code")
		name := rapid.StringMatching(`[a-z]{1,10}`)
		field, other, line := name.Draw(t, "field"), name.Draw(t, "other"), rapid.IntRange(0, 1e6)
		body := func(field string, line int) string { return fmt.Sprintf(form, code, line, field) }
		a, b := body(field, line.Draw(t, "a")), body(field, line.Draw(t, "b"))
		require.True(t, json.Valid([]byte(a)), a)
		require.Equal(t, domain.AnswerError{Code: code, Field: "items[#]." + field}, domain.AnswerErrorOf(a))
		require.Equal(t, domain.AnswerErrorOf(a), domain.AnswerErrorOf(b))
		require.Equal(t, field == other, domain.AnswerErrorOf(a) == domain.AnswerErrorOf(body(other, 1)))
	})
}

// A long answer costs no more than its start: what comes after it is not looked at, and what is kept of it is bounded.
func TestAnErrorIsFoundInTheStartOfAnAnswer(t *testing.T) {
	start := `{"message":"` + strings.Repeat("x", domain.MaxAnswerErrorBytes-40) + `","code":"E1","field":`
	require.Less(t, len(start), domain.MaxAnswerErrorBytes)
	require.Equal(t, domain.AnswerError{Code: "E1", Field: "sku"}, domain.AnswerErrorOf(start+`"sku"}`))
	require.Equal(t, domain.AnswerError{Code: "E1"}, domain.AnswerErrorOf(start+strings.Repeat(" ", 40)+`"sku"}`))
	for name, body := range map[string]string{
		"many_members": `{` + strings.Repeat(`"a":1,`, 10000) + `"code":"E"}`, "deep": strings.Repeat(`[`, 60000), "many_entries": `{"errors":[` + strings.Repeat(`{"code":"x y"},`, 4000),
	} {
		require.Empty(t, domain.AnswerErrorOf(body), name)
		require.Less(t, testing.AllocsPerRun(3, func() { domain.AnswerErrorOf(body) }), 3000., name)
	}
}

func BenchmarkAnswerErrorOf(b *testing.B) {
	for name, body := range map[string]string{
		"plain": answered["plain"].body, "sap": answered["sap"].body, "a_page": answered["a_page"].body,
		"64_kB": `{"error":{"code":"E1","trace":"` + strings.Repeat("at line 1, ", 6000) + `"}}`, "64_kB_of_entries": `{"errors":[` + strings.Repeat(`{"code":"x y"},`, 4000),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				domain.AnswerErrorOf(body)
			}
		})
	}
}
