package contracts

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"html/template"
	"net/http"
	"strings"
	"sync"
)

//go:embed page.html.tmpl
var pageText string

//go:embed page.css
var style []byte

// policy lets the page load its own style sheet, and nothing else.
const policy = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// page is the OpenAPI description for people. It is made once, and has neither scripts nor anything from elsewhere.
var page = sync.OnceValue(func() []byte { return render(openAPI) })

// servePage answers with the page.
func servePage(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", policy)
	file("text/html; charset=utf-8", page)(w, r)
}

// indented is JSON as people read it.
func indented(raw json.RawMessage) string {
	var out bytes.Buffer
	if json.Indent(&out, raw, "", "  ") != nil {
		return string(raw)
	}
	return out.String()
}

// anchor is a name as a part of an address.
func anchor(name string) string { return strings.ToLower(strings.ReplaceAll(name, " ", "-")) }

// prose is a text with what stands between backquotes as code.
func prose(text string) template.HTML {
	var out strings.Builder
	for i, part := range strings.Split(text, "`") {
		part = template.HTMLEscapeString(part)
		if i%2 == 1 {
			part = "<code>" + part + "</code>"
		}
		out.WriteString(part)
	}
	return template.HTML(out.String()) //nolint:gosec // each part is escaped
}

// render makes the page of a description. What the program itself has embedded must be right, so a failure is shown on the page.
func render(description []byte) []byte {
	var d document
	if err := json.Unmarshal(description, &d); err != nil {
		return []byte(err.Error())
	}
	text, err := template.New("page").Funcs(template.FuncMap{"indented": indented, "anchor": anchor, "prose": prose}).Parse(pageText)
	if err != nil {
		return []byte(err.Error())
	}
	var out bytes.Buffer
	if err := text.Execute(&out, d); err != nil {
		return []byte(err.Error())
	}
	return out.Bytes()
}
