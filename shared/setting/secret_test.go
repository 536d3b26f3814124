package setting

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The refusal of an address showed the password in it, in the API's answer, on the terminal and in the log: where the scheme was
// forgotten, where the password holds a slash, and where the JSON writes a slash or an @ as an escape, as PHP does.
func TestNoRefusalShowsAPassword(t *testing.T) {
	t.Parallel()
	f, err := Find(NameErpBaseURL)
	require.NoError(t, err)
	const must = "; it must be an http or https URL without user, password, query and fragment, like https://erp.example.com/api"
	for name, c := range map[string]struct{ given, shown string }{
		"as_it_should_be":         {`"https://me:hunter2@erp/api"`, `"https://****@erp/api"`},
		"slashes_as_PHP_writes":   {`"https:\/\/me:hunter2@erp\/api"`, `"https://****@erp/api"`},
		"an_escaped_at":           {`"https://me:hunter2\u0040erp/api"`, `"https://****@erp/api"`},
		"no_scheme":               {`"me:hunter2@erp.example.com"`, `"****@erp.example.com"`},
		"no_slashes":              {`"https:me:hunter2@erp"`, `"****@erp"`},
		"one_slash":               {`"https:/me:hunter2@erp"`, `"****@erp"`},
		"a_slash_in_the_password": {`"https://me:hunter2/x@erp"`, `"https://****@erp"`},
		"a_question_mark_in_it":   {`"https://me:hunter2?x@erp"`, `"https://****@erp"`},
		"a_hash_in_it":            {`"https://me:hunter2#x@erp"`, `"https://****@erp"`},
		"an_at_in_it":             {`"https://me:hunter2@x@erp"`, `"https://****@erp"`},
		"two_of_them":             {`"https://a:hunter2@x,https://b:hunter2@y"`, `"https://****@y"`},
		"only_a_user":             {`"https://hunter2@erp"`, `"https://****@erp"`},
		"another_scheme":          {`"ftp://me:hunter2@erp"`, `"ftp://****@erp"`},
		"in_an_object":            {`{"url":"https:\/\/me:hunter2@erp"}`, `{"url":"https://****@erp"}`},
		"in_a_list":               {`["https://me:hunter2\u0040erp"]`, `["https://****@erp"]`},
		"too_long":                {`"https://me:hunter2@` + strings.Repeat("e", 1900) + `?"`, `"https://****@` + strings.Repeat("e", 106) + `…`},
		"nothing_to_hide":         {`"erp\u002eexample"`, `"erp.example"`},
		"a_tag_stays_readable":    {`"<erp> & co"`, `"<erp> & co"`},
		"no_json":                 {`"https://me:hunter2@erp`, `"https://****@erp`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := Defaults()
			require.EqualError(t, f.Decode(&s, json.RawMessage(c.given)), "erp_base_url is "+c.shown+must)
			_, unused := Resolve(Defaults(), []Row{{Name: NameErpBaseURL, Value: json.RawMessage(c.given)}})
			require.Len(t, unused, 1, "in the log")
			require.NotContains(t, unused.Error(), "hunter2")
			require.Equal(t, Defaults(), s)
		})
	}
}

// The environment may hold a password, as it is not kept in a table. What is wrong with the rest is told without it.
func TestTheEnvironmentsPasswordIsNeverShown(t *testing.T) {
	t.Parallel()
	f, err := Find(NameErpBaseURL)
	require.NoError(t, err)
	for given, shown := range map[string]string{
		"me:hunter2@erp":               `erp_base_url is "****@erp"`,
		"https://me:hunter2/x@erp":     `erp_base_url is "https://****@erp"`,
		"https://me:hunter2@erp?a=b":   `erp_base_url is "https://****@erp?a=b"`,
		"https://me:hunter2@":          `erp_base_url is "https://****@"`,
		"https://me:hunter2@erp/\x7f":  "erp_base_url contains the control character U+007F; remove it",
		"https://me:hunter2@\xff":      "erp_base_url is not valid UTF-8",
		strings.Repeat("hunter2", 300): "erp_base_url has 2100 bytes; at most 2000 are taken",
	} {
		s := Defaults()
		err := f.Parse(&s, given)
		require.ErrorContains(t, err, shown)
		require.NotContains(t, err.Error(), "hunter2")
		require.Empty(t, s.ErpBaseURL)
	}
	s := Defaults()
	require.NoError(t, f.Parse(&s, "https://me:hunter2@erp/a@b"))
	require.Equal(t, "https://me:hunter2@erp/a@b", s.ErpBaseURL, "it is called with its password")
	require.Equal(t, "https://****@erp/a@b", f.Text(s), "and shown without it; the path stays")
	require.JSONEq(t, `"https://****@erp/a@b"`, string(f.JSON(s)))
	require.NoError(t, s.Validate())
	s.ErpBaseURL = "me:hunter2@erp" // a program gave it, and not Parse
	require.ErrorContains(t, s.Validate(), "erp_base_url is ****@erp; it must be")
	s.ErpBaseURL = "http://erp/a@b"
	require.Equal(t, "http://erp/a@b", f.Text(s), "an @ in a path hides nothing")
	s.ErpBaseURL = "http://erp//a@b"
	require.Equal(t, "http://erp//a@b", f.Text(s), "nor behind two slashes")
	require.NoError(t, f.Decode(&s, f.JSON(s)), "and it is no secret that the table refuses")
}

// A list of lists was read anew at each level: 64 levels, as the API takes them, around a large list kept a processor busy for
// seconds. What stands in the table may be nested deeper still.
func TestListsInListsAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	f, err := Find("retryable_codes")
	require.NoError(t, err)
	deep := strings.Repeat("[", 9_000) + "409" + strings.Repeat(",409", 30_000) + strings.Repeat("]", 9_000)
	s, began := Defaults(), time.Now()
	require.ErrorContains(t, f.Decode(&s, json.RawMessage(deep)), "retryable_codes is [[[[")
	require.Less(t, time.Since(began), 5*time.Second)
	require.Error(t, f.Decode(&s, json.RawMessage(`[409, {"a": [409]}]`)))
	require.Error(t, f.Decode(&s, json.RawMessage(`[409, null]`)))
	require.Error(t, f.Decode(&s, json.RawMessage(`[409, true]`)))
	require.NoError(t, f.Decode(&s, json.RawMessage(" [ 409 ,\n 423 ] ")))
	require.Equal(t, []int{409, 423}, s.RetryableCodes)
}
