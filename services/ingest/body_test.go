package ingest

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func gzipped(t testing.TB, body string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(body))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return b.String()
}

// inUTF16 is the text in UTF-16 of an order of bytes, with or without a mark before it.
func inUTF16(t testing.TB, order binary.ByteOrder, mark bool, text string) string {
	t.Helper()
	units := utf16.Encode([]rune(text))
	if mark {
		units = append([]uint16{0xFEFF}, units...)
	}
	var b bytes.Buffer
	require.NoError(t, binary.Write(&b, order, units))
	return b.String()
}

// Seen: what proxies and clients make of a body was refused with "invalid character '\x1f'".
func TestBodiesAsProxiesAndClientsSendThem(t *testing.T) {
	t.Parallel()
	database := testkit.Postgres(t)
	handler := serve(t, database.Pool, setting.Defaults())
	event := placed("e1", "000000123")
	const inUTF8, notWhole = "; JSON is sent in UTF-8", "the body comes with Content-Encoding: gzip, but it is not whole, or no gzip "
	for name, c := range map[string]struct {
		encoding   []string
		body       string
		status     int
		code, want string
	}{
		"as_it_is":                {nil, event, http.StatusAccepted, "", ""},
		"said_to_be_as_it_is":     {[]string{"identity"}, event, http.StatusAccepted, "", ""},
		"gzip":                    {[]string{"gzip"}, gzipped(t, event), http.StatusAccepted, "", ""},
		"gzip_by_its_older_name":  {[]string{"X-GZip"}, gzipped(t, event), http.StatusAccepted, "", ""},
		"gzip_of_a_batch":         {[]string{"gzip"}, gzipped(t, batch(event, event)), http.StatusOK, "", ""},
		"gzip_in_two_parts":       {[]string{"gzip"}, gzipped(t, event[:99]) + gzipped(t, event[99:]), http.StatusAccepted, "", ""},
		"a_mark_of_utf8":          {nil, "\xEF\xBB\xBF" + event, http.StatusAccepted, "", ""},
		"a_mark_of_utf8_in_gzip":  {[]string{"gzip"}, gzipped(t, "\xEF\xBB\xBF "+event), http.StatusAccepted, "", ""},
		"gzip_that_is_not_said":   {nil, gzipped(t, event), http.StatusBadRequest, "not_json", "the body is gzip: send Content-Encoding: gzip with it"},
		"gzip_twice":              {[]string{"gzip"}, gzipped(t, gzipped(t, event)), http.StatusBadRequest, "not_json", "the body is gzip: send Content-Encoding: gzip with it"},
		"no_gzip":                 {[]string{"gzip"}, event, http.StatusBadRequest, "not_gzip", notWhole + "(gzip: invalid header)"},
		"half_a_gzip":             {[]string{"gzip"}, gzipped(t, event)[:100], http.StatusBadRequest, "not_gzip", notWhole + "(unexpected EOF)"},
		"nothing_as_gzip":         {[]string{"gzip"}, "", http.StatusBadRequest, "not_gzip", notWhole + "(EOF)"},
		"gzip_and_something":      {[]string{"gzip"}, gzipped(t, event) + "x", http.StatusBadRequest, "not_gzip", notWhole + "(unexpected EOF)"},
		"a_bomb":                  {[]string{"gzip"}, gzipped(t, strings.Repeat(" ", maxBodyBytes+1)), http.StatusRequestEntityTooLarge, "too_large", "the body is larger than 16777216 bytes once it is inflated; send fewer events at once"},
		"as_much_as_is_taken":     {[]string{"gzip"}, gzipped(t, strings.Repeat(" ", maxBodyBytes-len(event))+event), http.StatusAccepted, "", ""},
		"brotli":                  {[]string{"br"}, "x", http.StatusUnsupportedMediaType, "encoding_unknown", `the body comes with Content-Encoding: "br"; send it as it is, or with gzip`},
		"two_encodings":           {[]string{"gzip", "br"}, "x", http.StatusUnsupportedMediaType, "encoding_unknown", `the body comes with Content-Encoding: "gzip, br"; send it as it is, or with gzip`},
		"zstd_that_is_not_said":   {nil, "\x28\xb5\x2f\xfdxyz", http.StatusBadRequest, "not_json", "the body is zstd: send it as it is, or as gzip with Content-Encoding: gzip"},
		"zlib_that_is_not_said":   {nil, "\x78\x9cxyz", http.StatusBadRequest, "not_json", "the body is compressed by zlib (deflate): send it as it is, or as gzip with Content-Encoding: gzip"},
		"utf16_little_with_mark":  {nil, inUTF16(t, binary.LittleEndian, true, event), http.StatusBadRequest, "not_json", "the body begins with a byte order mark of UTF-16" + inUTF8},
		"utf16_big_with_mark":     {nil, inUTF16(t, binary.BigEndian, true, event), http.StatusBadRequest, "not_json", "the body begins with a byte order mark of UTF-16" + inUTF8},
		"utf16_little":            {nil, inUTF16(t, binary.LittleEndian, false, event), http.StatusBadRequest, "not_json", "the body is UTF-16" + inUTF8},
		"utf16_big":               {nil, inUTF16(t, binary.BigEndian, false, batch(event)), http.StatusBadRequest, "not_json", "the body is UTF-16" + inUTF8},
		"utf32":                   {nil, "\xff\xfe\x00\x00{\x00\x00\x00", http.StatusBadRequest, "not_json", "the body begins with a byte order mark of UTF-32" + inUTF8},
		"utf32_big_without_mark":  {nil, "\x00\x00\x00{", http.StatusBadRequest, "not_json", "the body is UTF-32" + inUTF8},
		"a_text_of_another_world": {nil, "<event/>", http.StatusBadRequest, "not_json", "the body is not valid JSON: byte 1: invalid character '<' looking for beginning of value"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := database.Pool.Exec(t.Context(), `DELETE FROM accepted_event; DELETE FROM sales_order; DELETE FROM erp_sync_gate`)
			require.NoError(t, err)
			req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/rest/V1/erpconnector/events", strings.NewReader(c.body))
			req.Header.Set("Content-Type", "application/json")
			for _, encoding := range c.encoding {
				req.Header.Add("Content-Encoding", encoding)
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, req)
			var answer struct{ Code, Detail string }
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
			require.Equal(t, []any{c.status, c.code, c.want}, []any{w.Code, answer.Code, answer.Detail})
			require.Equal(t, c.status == http.StatusUnsupportedMediaType, w.Header().Get("Accept-Encoding") == "gzip")
		})
	}
}

// FuzzReadBody: whatever comes, in whatever encoding, there is an answer that says what to do, or a body that is no longer
// than one may be.
func FuzzReadBody(f *testing.F) {
	event := placed("e1", "000000123")
	for _, encoding := range []string{"", "gzip", "br"} {
		for _, body := range []string{
			event, batch(event, event), gzipped(f, event), gzipped(f, event)[:50], gzipped(f, gzipped(f, event)), "\xEF\xBB\xBF" + event,
			inUTF16(f, binary.LittleEndian, true, event), inUTF16(f, binary.BigEndian, false, event), "\x78\x9C", "\x28\xb5\x2f\xfd", "", " ", "\x00\x00\x00{",
		} {
			f.Add(encoding, []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, encoding string, raw []byte) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(raw))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Content-Encoding", encoding)
		body, wrong := readBody(httptest.NewRecorder(), r)
		if wrong != nil {
			require.NotEmpty(t, wrong.Code)
			require.NotEmpty(t, wrong.Detail)
			require.GreaterOrEqual(t, wrong.Status, http.StatusBadRequest)
			return
		}
		require.LessOrEqual(t, len(body), maxBodyBytes)
		if json.Valid(raw) {
			require.Equal(t, string(bytes.TrimLeft(raw, " \t\r\n")), string(body), "JSON as it is stays as it is")
		}
	})
}
