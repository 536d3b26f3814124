package httpapi

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/spelling"
)

// CheckQuery serves the route's handler behind a check of the query: a parameter that the route does not name, one that
// comes twice, and a query that cannot be read are refused. What was passed over in silence could have named another order.
func CheckQuery(r Route) http.Handler {
	if r.AnyQuery {
		return r.Handler
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.RawQuery == "" && PathSource(req.Context()) == "" {
			r.Handler.ServeHTTP(w, req)
			return
		}
		values, err := url.ParseQuery(req.URL.RawQuery)
		if err != nil {
			problem.Write(w, problem.Problem{
				Status: http.StatusBadRequest, Code: "query_invalid",
				Detail: fmt.Sprintf("nothing was done; the query cannot be read: %v. Encode names and values by percent signs", err),
			})
			return
		}
		if wrong := queryErrors(req.Method, values, r); len(wrong) > 0 {
			RefuseQuery(w, wrong)
			return
		}
		req, wrong := atPathSource(req, values, r.Query)
		if len(wrong) > 0 {
			RefuseQuery(w, wrong)
			return
		}
		r.Handler.ServeHTTP(w, req)
	})
}

// RefuseQuery answers a request whose query cannot be taken.
func RefuseQuery(w http.ResponseWriter, wrong []problem.FieldError) {
	problem.Write(w, problem.Problem{
		Status: http.StatusBadRequest, Code: "query_invalid", Errors: wrong,
		Detail: "nothing was done; correct the query's parameters that errors lists",
	})
}

func queryErrors(method string, values url.Values, r Route) (wrong []problem.FieldError) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		add := func(code, detail string) {
			wrong = append(wrong, problem.FieldError{Parameter: fmt.Sprintf("%.64s", name), Code: code, Detail: detail})
		}
		switch err := domain.PlainText(values[name][0]); {
		case !takes(r, name):
			add(problem.CodeUnknown, unknownParameter(method, name, r.Query))
		case len(values[name]) > 1:
			add(problem.CodeTwice, "stands there twice; send it once")
		case err != nil:
			add(problem.CodeText, err.Error())
		}
	}
	return wrong
}

func takes(r Route, name string) bool {
	of, _, nested := strings.Cut(name, "[")
	return slices.Contains(r.Query, name) || (nested && slices.Contains(r.Nested, of))
}

func unknownParameter(method, name string, known []string) string {
	switch {
	case len(known) > 0:
		return "is not known here: " + spelling.Hint(name, known)
	case method == http.MethodPost && spelling.Nearest(name, []string{"source"}) != "":
		return "is not known here, where no parameter is taken: the body names the order's shop (source)"
	default:
		return "is not known here, where no parameter is taken"
	}
}

// Parameters reads the values of a query, and collects what is wrong with them.
type Parameters struct {
	values url.Values
	Wrong  []problem.FieldError
}

// ParametersOf are those of a request.
func ParametersOf(r *http.Request) *Parameters { return &Parameters{values: r.URL.Query()} }

// ParametersFrom reads values that are no request's: of a body or a command line that has the words of a query.
func ParametersFrom(values url.Values) *Parameters { return &Parameters{values: values} }

// Text is the parameter's value; empty: it was not given.
func (p *Parameters) Text(name string) string { return p.values.Get(name) }

// Has reports whether the parameter was given, if only empty.
func (p *Parameters) Has(name string) bool { return p.values.Has(name) }

// Names are the names of the parameters that were given, sorted.
func (p *Parameters) Names() []string { return slices.Sorted(maps.Keys(p.values)) }

// Int64 is a whole number above 0, or 0 when it was not given.
func (p *Parameters) Int64(name string) int64 {
	text := p.values.Get(name)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		p.Refuse(name, problem.CodeRange, fmt.Sprintf("is %.100q; it must be a whole number above 0", text))
		return 0
	}
	return n
}

// Time is a time, a day (UTC), or an age like 2h before now; zero when it was not given.
func (p *Parameters) Time(name string) time.Time {
	text := p.values.Get(name)
	if text == "" {
		return time.Time{}
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil && t.Year() >= 1 && t.Year() <= maxYear {
			return t.UTC()
		}
	}
	if age, err := time.ParseDuration(text); err == nil && age >= 0 {
		return time.Now().Add(-age).UTC()
	}
	p.Refuse(name, problem.CodeInvalid, fmt.Sprintf(
		"is %.100q; it must be a time like 2024-01-15T10:00:00Z, a day like 2024-01-15 (UTC), or an age like 90m or 24h before now", text))
	return time.Time{}
}

// maxYear is the last one that Postgres and JSON can keep.
const maxYear = 9999

// Int is a whole number from least to most, or the fallback when it was not given.
func (p *Parameters) Int(name string, fallback, least, most int) int {
	text := p.values.Get(name)
	if text == "" {
		return fallback
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		p.Refuse(name, problem.CodeRange, fmt.Sprintf("is %.100q; it must be a whole number from %d to %d", text, least, most))
		return fallback
	}
	return n
}

// Seconds is a number of seconds from 0 to most, which may have a fraction, or the fallback when it was not given.
func (p *Parameters) Seconds(name string, fallback, most time.Duration) time.Duration {
	text := p.values.Get(name)
	if text == "" {
		return fallback
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || !decimal.MatchString(text) || seconds > most.Seconds() {
		p.Refuse(name, problem.CodeRange, fmt.Sprintf("is %.100q; it must be a number of seconds from 0 to %v", text, most.Seconds()))
		return fallback
	}
	return time.Duration(seconds * float64(time.Second))
}

// decimal is a number as people write it: neither Inf nor NaN, no exponent, no sign.
var decimal = regexp.MustCompile(`^[0-9]{1,9}(\.[0-9]{1,9})?$`)

// Refuse notes what is wrong with a parameter.
func (p *Parameters) Refuse(name, code, detail string) {
	p.Wrong = append(p.Wrong, problem.FieldError{Parameter: name, Code: code, Detail: detail})
}
