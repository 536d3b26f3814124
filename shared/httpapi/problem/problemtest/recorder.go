// Package problemtest records HTTP exchanges in golden files: a readable page per story, in the package's testdata.
// Run the tests with -update to write the pages anew, and read what changed before it is committed.
package problemtest

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/*.golden anew")

// longBody is from where a body is told by its size.
const longBody = 2500

// Recorder sends requests to a handler, on a server of its own, and writes down what was said.
type Recorder struct {
	Whole bool // long bodies are written down too, in place of their size

	t    testing.TB
	base string
	page strings.Builder
}

// New starts a server around the handler. When the test ends, the page is compared with testdata/<name>.golden.
func New(t testing.TB, name string, h http.Handler) *Recorder {
	t.Helper()
	server := httptest.NewServer(h)
	r := &Recorder{t: t, base: server.URL}
	t.Cleanup(func() {
		server.Close()
		if !t.Failed() {
			compare(t, filepath.Join("testdata", name+".golden"), r.page.String())
		}
	})
	return r
}

func compare(t testing.TB, file, page string) {
	t.Helper()
	if *update {
		must(t, os.MkdirAll(filepath.Dir(file), 0o755))  //nolint:gosec // a test's data
		must(t, os.WriteFile(file, []byte(page), 0o644)) //nolint:gosec // a test's data
		return
	}
	want, err := os.ReadFile(file) //nolint:gosec // a test's data
	must(t, err)
	if page != string(want) {
		t.Errorf("%s differs; run the test with -update and read what changed in it. Now:\n%s", file, page)
	}
}

// must stands in for testify, which stays out of all but tests.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Note adds a remark to the page.
func (r *Recorder) Note(format string, args ...any) {
	_, _ = fmt.Fprintf(&r.page, "# "+format+"\n\n", args...)
}

// Request is one request; Header holds pairs of name and value.
type Request struct {
	Method string
	Path   string
	Header []string
	Body   string
}

// Do sends the request, records both sides and returns the answer's status and body.
func (r *Recorder) Do(req Request) (int, []byte) {
	r.t.Helper()
	httpReq, err := http.NewRequestWithContext(r.t.Context(), req.Method, r.base+req.Path, strings.NewReader(req.Body))
	must(r.t, err)
	_, _ = fmt.Fprintf(&r.page, "%s %s\n", req.Method, req.Path)
	for i := 0; i+1 < len(req.Header); i += 2 {
		httpReq.Header.Set(req.Header[i], req.Header[i+1])
		_, _ = fmt.Fprintf(&r.page, "%s\n", strings.TrimSpace(req.Header[i]+": "+req.Header[i+1]))
	}
	r.body(req.Body)
	resp, err := http.DefaultClient.Do(httpReq)
	must(r.t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	must(r.t, err)
	_, _ = fmt.Fprintf(&r.page, "→ %s\n", resp.Status)
	for _, name := range []string{"Content-Type", "Retry-After", "ETag"} {
		if v := resp.Header.Get(name); v != "" {
			_, _ = fmt.Fprintf(&r.page, "%s: %s\n", name, v)
		}
	}
	r.body(indented(body))
	return resp.StatusCode, body
}

func (r *Recorder) body(text string) {
	switch {
	case len(text) > longBody && !r.Whole:
		_, _ = fmt.Fprintf(&r.page, "\n(%d bytes)\n\n", len(text))
	case text != "":
		_, _ = fmt.Fprintf(&r.page, "\n%s\n\n", shown.Replace(strings.ToValidUTF8(strings.TrimSuffix(text, "\n"), "�")))
	default:
		r.page.WriteString("\n")
	}
}

// shown keeps a page a text for whoever compares two of them.
var shown = strings.NewReplacer("\x00", "␀", "\uFEFF", "<BOM>")

func indented(body []byte) string {
	var out bytes.Buffer
	if json.Indent(&out, body, "", "  ") != nil {
		return string(body)
	}
	return out.String()
}
