package ingest

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// readBody reads the body as JSON in UTF-8, and inflates a compressed one. The problem says what is wrong with it.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *problem.Problem) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || (media != "application/json" && !strings.HasSuffix(media, "+json")) {
		return nil, &problem.Problem{
			Status: http.StatusUnsupportedMediaType, Code: "not_json", Detail: "send the event with Content-Type: application/json",
		}
	}
	compressed, wrong := isGzip(w, r)
	if wrong != nil {
		return nil, wrong
	}
	body, err := readAll(http.MaxBytesReader(w, r.Body, maxBodyBytes), r.ContentLength)
	if err == nil && compressed {
		body, err = inflate(r.Context(), body)
	}
	if err != nil {
		return nil, unreadable(err)
	}
	return decoded(body)
}

// maxTrustedBytes is how much room a body gets because its sender says that it is so long.
const maxTrustedBytes = 256 << 10

// readAll is io.ReadAll, with room for as much as is expected; -1 when that is unknown.
func readAll(r io.Reader, expected int64) ([]byte, error) {
	var body bytes.Buffer
	body.Grow(int(min(max(expected, 0), maxTrustedBytes)) + bytes.MinRead)
	_, err := body.ReadFrom(r)
	return body.Bytes(), err
}

// isGzip reads Content-Encoding, which names the compression of the body (RFC 9110, section 8.4).
func isGzip(w http.ResponseWriter, r *http.Request) (bool, *problem.Problem) {
	encoding := strings.ToLower(strings.TrimSpace(strings.Join(r.Header.Values("Content-Encoding"), ", ")))
	switch encoding {
	case "", "identity":
		return false, nil
	case "gzip", "x-gzip":
		return true, nil
	default:
		w.Header().Set("Accept-Encoding", "gzip") // RFC 9110, section 12.5.3: the encodings that requests may have
		return false, &problem.Problem{
			Status: http.StatusUnsupportedMediaType, Code: "encoding_unknown",
			Detail: fmt.Sprintf("the body comes with Content-Encoding: %.100q; send it as it is, or with gzip", encoding),
		}
	}
}

var errInflated = fmt.Errorf("the body is larger than %d bytes once it is inflated; send fewer events at once", maxBodyBytes)

// inflate reads no more than the limit of a body, however much is packed into it.
func inflate(ctx context.Context, packed []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("inflating: %w", err)
	}
	body, err := io.ReadAll(io.LimitReader(httpapi.Inflated(ctx, z), maxBodyBytes+1))
	switch {
	case len(body) > maxBodyBytes:
		return nil, errInflated
	case err != nil:
		return nil, fmt.Errorf("inflating: %w", err)
	}
	return body, nil
}

// unreadable tells a body that is too large from one that ended early: the second may be sent again as it is.
func unreadable(err error) *problem.Problem {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return tooBig(fmt.Sprintf("the body is larger than %d bytes; send fewer events at once", maxBodyBytes))
	case errors.Is(err, httpapi.ErrOverloaded):
		return &httpapi.Overload
	case errors.Is(err, errInflated):
		return tooBig(err.Error())
	case strings.HasPrefix(err.Error(), "inflating: "):
		return &problem.Problem{
			Status: http.StatusBadRequest, Code: "not_gzip",
			Detail: fmt.Sprintf("the body comes with Content-Encoding: gzip, but it is not whole, or no gzip (%v)", errors.Unwrap(err)),
		}
	default:
		return &problem.Problem{Status: http.StatusBadRequest, Code: "body_incomplete", Detail: "the body ended early; send it again"}
	}
}

// utf8Mark is the byte order mark in UTF-8. It has no meaning in JSON, so it is skipped (RFC 8259, section 8.1).
var utf8Mark = []byte("\xEF\xBB\xBF")

// decoded is the body without the mark. When the first byte is not that of JSON, the problem names what the body looks like.
func decoded(body []byte) ([]byte, *problem.Problem) {
	if looks := contentOf(body); looks != "" {
		return nil, &problem.Problem{Status: http.StatusBadRequest, Code: "not_json", Detail: "the body " + looks}
	}
	return bytes.TrimLeft(bytes.TrimPrefix(body, utf8Mark), " \t\r\n"), nil
}

// contentOf knows the first bytes of what senders and proxies often make of JSON.
func contentOf(body []byte) string {
	const inUTF8 = "; JSON is sent in UTF-8"
	for _, form := range []struct{ start, looks string }{
		{"\x1F\x8B", "is gzip: send Content-Encoding: gzip with it"},
		{"\x28\xB5\x2F\xFD", "is zstd: send it as it is, or as gzip with Content-Encoding: gzip"},
		{"\x78\x01", deflated},
		{"\x78\x9C", deflated},
		{"\x78\xDA", deflated},
		{"\xFF\xFE\x00\x00", "begins with a byte order mark of UTF-32" + inUTF8},
		{"\x00\x00\xFE\xFF", "begins with a byte order mark of UTF-32" + inUTF8},
		{"\xFF\xFE", "begins with a byte order mark of UTF-16" + inUTF8},
		{"\xFE\xFF", "begins with a byte order mark of UTF-16" + inUTF8},
		{"{\x00\x00\x00", "is UTF-32" + inUTF8},
		{"[\x00\x00\x00", "is UTF-32" + inUTF8},
		{"\x00\x00\x00", "is UTF-32" + inUTF8},
		{"{\x00", "is UTF-16" + inUTF8},
		{"[\x00", "is UTF-16" + inUTF8},
		{"\x00{", "is UTF-16" + inUTF8},
		{"\x00[", "is UTF-16" + inUTF8},
	} {
		if bytes.HasPrefix(body, []byte(form.start)) {
			return form.looks
		}
	}
	return ""
}

const deflated = "is compressed by zlib (deflate): send it as it is, or as gzip with Content-Encoding: gzip"
