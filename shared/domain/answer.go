package domain

import (
	"fmt"
	"html"
	"regexp"
	"strings"
	"time"
)

// Limits of what is read, and of what is kept, of an answer.
const (
	MaxErrorBytes    = 2 << 10
	MaxResponseBytes = 64 << 10 // of its body, in the record
	MaxAnswerBytes   = 8 << 20  // of its body, to find what it says; beyond that nothing is read
)

// Answer is what came back from one ERP call, or why nothing did.
type Answer struct {
	StatusCode int           // 0: no answer
	RetryAfter string        // the header's value
	Target     string        // the URL that was called, without user, password and query
	Location   string        // of a redirect: its target in the same form; "" when there is none
	Body       AnswerBody    // of an answer
	Unsent     int           // bytes of the order that were not sent yet when the answer came
	NotSent    bool          // with StatusCode 0: there was no connection, so nothing of the order went out
	Failure    ErrorCode     // with StatusCode 0: ErrorTimeout, ErrorNetwork or ErrorPayloadInvalid
	Cause      string        // with StatusCode 0: the error's text
	Took       time.Duration // from the first byte sent to the last byte read
}

// is reports whether the answer is this one.
func (a Answer) is(b BookedAnswer) bool {
	return a.StatusCode == b.Status && (b.Code == "" || a.Body.members["code"].scalar() == b.Code)
}

// noAnswer says why what came is no answer to the order, whatever its status says; empty when it is one.
func (a Answer) noAnswer() string {
	switch {
	case a.StatusCode < 200:
		return fmt.Sprintf("%s sent HTTP %d and no answer: check that erp_base_url names the ERP's HTTP API, and the proxies before it", a.target(), a.StatusCode)
	case a.Unsent > 0 && a.isSuccess():
		return fmt.Sprintf("HTTP %d came while %d bytes of the order were still to be sent, so %s cannot have read it: check that erp_base_url names the ERP, and the proxies before it",
			a.StatusCode, a.Unsent, a.target())
	}
	return ""
}

func (a Answer) isSuccess() bool { return a.StatusCode >= 200 && a.StatusCode <= 299 }

func (a Answer) target() string {
	if a.Target == "" {
		return "the ERP"
	}
	return a.Target
}

// AnswerReference is what an answer's body calls the order: erp_reference, else erp_id, else id of a JSON object.
func AnswerReference(body []byte) *string {
	reference, _ := AnswerBodyOf(body).Reference()
	return reference
}

// Reference is what the body calls the order: erp_reference, or else erp_id, or else id of its JSON object. Of a member that comes
// twice the last value counts. When the body was not read to its end, or is not JSON to its end, only erp_reference counts, as it
// may have come after the others. The warning says why there is no reference, where there may have been one. Fields that a setting
// names come before all others.
func (b AnswerBody) Reference(fields ...AnswerField) (reference *string, warning string) {
	switch r, err := b.referenceAt(fields); {
	case err != nil:
		return nil, fmt.Sprintf("the ERP accepted the order, and its number is not kept: %v", err)
	case r != "":
		text := string(r)
		return &text, ""
	}
	for _, name := range []string{"erp_reference", "erp_id", "id"} {
		value, err := b.members[name].reference()
		switch {
		case err != nil:
			return nil, fmt.Sprintf("the ERP accepted the order, and its number is not kept: %s %v", name, err)
		case value != "":
			text := string(value)
			return &text, ""
		case b.isUTF16:
			return nil, "the ERP accepted the order, and no number of it was found in its answer, which is UTF-16 and is not read: JSON is UTF-8"
		case !b.isObject:
			return nil, ""
		case b.Unread != "":
			return nil, "the ERP accepted the order, and no number of it was found in its answer: " + b.Unread
		case !b.isWhole:
			return nil, "the ERP accepted the order, and no number of it was found in its answer, which begins as JSON and is none to its end"
		}
	}
	return nil, ""
}

// errorText says why the ERP did not take the order: the target of a redirect, or else what the body says.
func errorText(a Answer) string {
	text := a.Body.text()
	switch {
	case a.redirects():
		return a.redirectText()
	case text == "":
		return fmt.Sprintf("HTTP %d without a body", a.StatusCode)
	}
	return text
}

// withWords is the text with our own words after it, in at most MaxErrorBytes. It shortens the text, not our words.
func withWords(text, words string) string {
	if words == "" {
		return truncate(text)
	}
	words = "; " + words
	return Truncate(text, MaxErrorBytes-len(words)) + words
}

// text is what the body says about the failure: error or message, as in the module; or else problem details (RFC 9457), a list of
// errors, or the title of a page; or else the body itself.
func (b AnswerBody) text() string {
	if b.isUTF16 {
		return "a body in UTF-16, which is not read: JSON is UTF-8"
	}
	for _, name := range []string{"error", "message"} {
		if s := b.members[name].words(); s != "" {
			return s
		}
	}
	if s := joined(": ", b.members["title"].words(), b.members["detail"].words(), b.members["errors"].words()); s != "" {
		return s
	}
	if s := b.top.words(); s != "" {
		return s
	}
	text := strings.TrimSpace(strings.TrimPrefix(KeepableText(string(b.Start)), byteOrderMark))
	if title, isPage := pageTitle(text); isPage {
		return title
	}
	return text
}

// pageStart matches the beginning of an HTML page, also of XHTML, and of a page without its first tags.
var pageStart = regexp.MustCompile(`^(<\?xml[^>]*>\s*)?(<!--[^>]*>\s*)*<(!doctype\s+html|html|head|title|body|h1)\b`)

// pageTitle is the title of an HTML page. Such pages come from proxies and web servers, when the ERP did not answer.
func pageTitle(text string) (title string, isPage bool) {
	lower := asciiLower(text)
	if !pageStart.MatchString(lower) {
		return "", false
	}
	for _, tag := range []string{"title", "h1"} {
		if title := elementText(text, lower, tag); title != "" {
			return title + " (an HTML page: a proxy or a web server may have answered in the ERP's place)", true
		}
	}
	return "an HTML page without a title: a proxy or a web server may have answered in the ERP's place", true
}

// elementText is the text of the first such element, in one line; lower is the page in lower case, byte for byte.
func elementText(page, lower, tag string) string {
	start := strings.Index(lower, "<"+tag)
	if start < 0 {
		return ""
	}
	open := strings.IndexByte(lower[start:], '>')
	if open < 0 {
		return ""
	}
	start += open + 1
	end := strings.Index(lower[start:], "</"+tag)
	if end < 0 {
		return ""
	}
	return strings.Join(strings.Fields(html.UnescapeString(withoutTags(page[start:start+end]))), " ")
}

func withoutTags(text string) string {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "<")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		_, text, _ = strings.Cut(rest, ">")
	}
}

// asciiLower keeps every byte in its place, as strings.ToLower does not.
func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

func joined(separator string, texts ...string) string {
	var out []string
	for _, s := range texts {
		if s != "" {
			out = append(out, s)
		}
	}
	return strings.Join(out, separator)
}
