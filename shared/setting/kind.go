package setting

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// Type is the kind of value that a setting has, for programs.
type Type string

// The types. In JSON a duration is a string like "30s" or a number of seconds, answers are a list of strings like
// "409:ALREADY_BOOKED", and windows are one string; the others are what they are called.
const (
	Boolean  Type = "boolean"
	Integer  Type = "integer"
	Number   Type = "number"
	Duration Type = "duration"
	URL      Type = "url"
	Cron     Type = "cron"
	Statuses Type = "statuses"
	Answers  Type = "answers"
	Path     Type = "path"
	Places   Type = "fields"
	Windows  Type = "windows"
)

// kind is how the values of a type are read, written and bounded.
type kind[T any] struct {
	typ     Type
	allowed string                      // for people, after "it must be"
	forms   string                      // the JSON forms it is read from
	parse   func(text string) (T, bool) // of the environment, the CLI, and of JSON once it is text
	format  func(v T) string
	encode  func(v T) any       // what its JSON is made of
	within  func(v T) bool      // nil: all are
	secret  func(v T) bool      // holds a secret, which the table does not keep; nil: none does
	shown   func(string) string // what of a refused text may be shown; nil: all
}

// The JSON forms.
const (
	formText   = "s"
	formNumber = "n"
	formBool   = "b"
	formList   = "l" // of numbers
	formTexts  = "t" // a list with texts
)

// unpack turns JSON into the text that the environment would have, and tells its form.
func unpack(raw json.RawMessage) (text, form string) {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return "", ""
	}
	switch v := v.(type) {
	case string:
		return v, formText
	case bool:
		return strconv.FormatBool(v), formBool
	case float64:
		return strings.TrimSpace(string(raw)), formNumber // as it was written: 5.0 is no whole number
	case []any:
		return unpackList(raw, v)
	}
	return "", ""
}

// unpackList joins the texts and numbers of a list with commas, as the environment has them. A list in a list is none of a setting,
// and is not looked into: it may be deep.
func unpackList(raw json.RawMessage, list []any) (text, form string) {
	var items []json.RawMessage
	_ = json.Unmarshal(raw, &items) // it was a list a moment ago
	parts := make([]string, len(items))
	form = formList
	for i, item := range list {
		switch item := item.(type) {
		case float64:
			parts[i] = string(items[i])
		case string:
			if strings.Contains(item, ",") || strings.TrimSpace(item) == "" {
				return "", ""
			}
			parts[i], form = item, formTexts
		default:
			return "", ""
		}
	}
	return strings.Join(parts, ","), form
}

var boolean = kind[bool]{
	typ: Boolean, allowed: "true or false", forms: formBool,
	parse:  func(text string) (bool, bool) { b, err := strconv.ParseBool(text); return b, err == nil },
	format: strconv.FormatBool,
	encode: func(b bool) any { return b },
}

func integer(lowest, highest int) kind[int] {
	return kind[int]{
		typ: Integer, allowed: fmt.Sprintf("a whole number from %d to %d", lowest, highest), forms: formNumber,
		parse:  func(text string) (int, bool) { n, err := strconv.Atoi(text); return n, err == nil },
		format: strconv.Itoa,
		encode: func(n int) any { return n },
		within: func(n int) bool { return lowest <= n && n <= highest },
	}
}

func number(lowest, highest float64) kind[float64] {
	return kind[float64]{
		typ: Number, allowed: fmt.Sprintf("a number from %v to %v", lowest, highest), forms: formNumber,
		parse:  func(text string) (float64, bool) { n, err := strconv.ParseFloat(text, 64); return n, err == nil },
		format: func(n float64) string { return strconv.FormatFloat(n, 'g', -1, 64) },
		encode: func(n float64) any { return n },
		within: func(n float64) bool { return lowest <= n && n <= highest }, // false for NaN
	}
}

func duration(lowest, highest time.Duration) kind[time.Duration] {
	return kind[time.Duration]{
		typ: Duration, forms: formText + formNumber,
		allowed: fmt.Sprintf("a duration from %s to %s, like 30s, or a number of seconds", short(lowest), short(highest)),
		parse:   parseDuration,
		format:  short,
		encode:  func(d time.Duration) any { return short(d) },
		within:  func(d time.Duration) bool { return lowest <= d && d <= highest },
	}
}

// interval is a duration, or 0 for never.
func interval(lowest, highest time.Duration) kind[time.Duration] {
	k := duration(lowest, highest)
	k.allowed = fmt.Sprintf("0, or a duration from %s to %s, like 24h, or a number of seconds", short(lowest), short(highest))
	k.within = func(d time.Duration) bool { return d == 0 || lowest <= d && d <= highest }
	return k
}

func parseDuration(text string) (time.Duration, bool) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		d := math.Round(seconds * float64(time.Second))
		return time.Duration(d), math.Abs(d) < math.MaxInt64 // false for NaN
	}
	d, err := time.ParseDuration(text)
	return d, err == nil
}

// short is the duration without its zeros: 1m, not 1m0s.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

const maxURL = 2000

// address is an ERP's base URL. What is given at run time holds no user and password, as those are secrets; the
// environment's may, and is shown without them.
func address() kind[string] {
	return kind[string]{
		typ: URL, forms: formText,
		allowed: "an http or https URL without user, password, query and fragment, like https://erp.example.com/api",
		parse:   func(text string) (string, bool) { return text, true },
		format:  hidePassword,
		encode:  func(text string) any { return hidePassword(text) },
		within:  isBaseURL,
		secret:  userinfo.MatchString,
		shown:   hideAll,
	}
}

func isBaseURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && !strings.ContainsAny(text, "?#") &&
		len(text) <= maxURL && utf8.ValidString(text)
}

// userinfo is the user and the password of a base URL, with what stands before them.
var userinfo = regexp.MustCompile(`^([^/]*//)[^/]*@`)

// hidePassword is the address with stars in the place of user and password.
func hidePassword(text string) string {
	if isBaseURL(text) {
		return userinfo.ReplaceAllString(text, "${1}****@")
	}
	return hideAll(text)
}

// hideAll is for a text that is no base URL, as somebody mistyped one. Where its password ends cannot be told: the scheme may be
// missing, and a slash may be a part of the password. So nothing before the last @ is shown but a scheme.
func hideAll(text string) string {
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return text
	}
	scheme, _, found := strings.Cut(text[:at], "//")
	if found {
		scheme += "//"
	} else {
		scheme = ""
	}
	return scheme + "****" + text[at:]
}

var schedule = kind[string]{
	typ: Cron, forms: formText,
	allowed: "five fields (minute, hour, day, month, weekday) in UTC that occur, like 0 * * * *",
	parse: func(text string) (string, bool) {
		_, err := ParseSchedule(text)
		return strings.Join(strings.Fields(text), " "), err == nil
	},
	format: func(text string) string { return text },
	encode: func(text string) any { return text },
	within: func(text string) bool { _, err := ParseSchedule(text); return err == nil },
}

var statuses = kind[[]int]{
	typ: Statuses, allowed: "HTTP statuses from 300 to 499, like 409,423; in JSON a list", forms: formList,
	parse:  parseStatuses,
	format: formatStatuses,
	encode: func(codes []int) any { return append([]int{}, codes...) }, // never null: null is the environment's value
	within: func(codes []int) bool {
		return !slices.ContainsFunc(codes, func(code int) bool { return code < 300 || code > 499 })
	},
}

// lookupPath is where the ERP is asked about an order; empty: nowhere.
var lookupPath = kind[domain.LookupPath]{
	typ: Path, forms: formText,
	allowed: "empty, or a path below erp_base_url with {idempotency_key}, or with {order_increment_id} and, if there are several shops, {source}, like /orders?key={idempotency_key}",
	parse:   func(text string) (domain.LookupPath, bool) { return domain.LookupPath(text), true },
	format:  func(p domain.LookupPath) string { return string(p) },
	encode:  func(p domain.LookupPath) any { return string(p) },
	within:  func(p domain.LookupPath) bool { return p.Check() == nil },
}

// bookedAnswers are answers that count as a success. Beside 409 a status tells other things too: a bad address or key would
// make a success of every order, so it needs a code.
var bookedAnswers = kind[[]domain.BookedAnswer]{
	typ: Answers, allowed: "HTTP statuses from 200 to 599, each with the `code` of the answer's body, like 409:ALREADY_BOOKED; 409 may stand alone; in JSON a list of texts",
	forms:  formList + formTexts,
	parse:  parseAnswers,
	format: func(answers []domain.BookedAnswer) string { return strings.Join(answerTexts(answers), ",") },
	encode: func(answers []domain.BookedAnswer) any { return answerTexts(answers) },
	within: func(answers []domain.BookedAnswer) bool {
		return !slices.ContainsFunc(answers, func(a domain.BookedAnswer) bool {
			return a.Status < 200 || a.Status > 599 || (a.Code == "" && a.Status != http.StatusConflict)
		})
	},
}

// orderAnswers are 5xx answers that speak of one order.
var orderAnswers = func() kind[[]domain.BookedAnswer] {
	k := bookedAnswers
	k.allowed = "HTTP statuses from 500 to 599, each with the `code` of the answer's body where it has one, like 500:UNKNOWN_SKU; in JSON a list of texts"
	k.within = func(answers []domain.BookedAnswer) bool {
		return !slices.ContainsFunc(answers, func(a domain.BookedAnswer) bool { return a.Status < 500 || a.Status > 599 })
	}
	return k
}()

// answerCode is a code that a body may have; what separates the setting's parts is not among it.
var answerCode = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

func parseAnswers(list string) (answers []domain.BookedAnswer, ok bool) {
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		status, code, named := strings.Cut(part, ":")
		n, err := strconv.Atoi(status)
		if err != nil || named != answerCode.MatchString(code) {
			return nil, false
		}
		answers = append(answers, domain.BookedAnswer{Status: n, Code: code})
	}
	slices.SortFunc(answers, func(a, b domain.BookedAnswer) int {
		return cmp.Or(cmp.Compare(a.Status, b.Status), cmp.Compare(a.Code, b.Code))
	})
	return slices.Compact(answers), true
}

// answerTexts is never nil: null is the environment's value.
func answerTexts(answers []domain.BookedAnswer) []string {
	texts := make([]string, len(answers))
	for i, a := range answers {
		texts[i] = strconv.Itoa(a.Status)
		if a.Code != "" {
			texts[i] += ":" + a.Code
		}
	}
	return texts
}

func parseStatuses(list string) (codes []int, ok bool) {
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		code, err := strconv.Atoi(part)
		if err != nil {
			return nil, false
		}
		codes = append(codes, code)
	}
	slices.Sort(codes)
	return slices.Compact(codes), true
}

func formatStatuses(codes []int) string {
	parts := make([]string, len(codes))
	for i, code := range codes {
		parts[i] = strconv.Itoa(code)
	}
	return strings.Join(parts, ",")
}
