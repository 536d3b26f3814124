package api

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/spelling"
	"github.com/erpconnector/erpconnector/shared/syncs"
)

// Conditions of Magento that can be asked of some field.
const (
	isEqual   = "eq"
	isIn      = "in"
	isLike    = "like"
	isAbove   = "gt"
	isAtLeast = "gteq"
	isBelow   = "lt"
	isAtMost  = "lteq"
)

// sameAs are conditions that are others by another name.
var sameAs = map[string]string{"from": isAtLeast, "to": isAtMost, "moreq": isAtLeast}

var compared = []string{isAbove, isAtLeast, isBelow, isAtMost, "from", "to"}

// condition says how a field can be asked for.
type condition struct {
	takes []string
	set   func(f *syncs.Filter, is, value string) error
}

// conditions are those of all fields.
var conditions = map[string]condition{
	"status":             {takes: []string{isEqual, isIn}}, // see restrictStatuses
	"source":             equals(func(f *syncs.Filter) *string { return &f.Source }, domain.ValidateKnownSource),
	"order_increment_id": equals(func(f *syncs.Filter) *string { return &f.Order }, nil),
	"customer_email":     equals(func(f *syncs.Filter) *string { return &f.Email }, nil),
	"erp_reference":      equals(func(f *syncs.Filter) *string { return &f.ErpReference }, nil),
	"idempotency_key":    equals(func(f *syncs.Filter) *string { return &f.Key }, nil),
	"error_code":         equals(func(f *syncs.Filter) *domain.ErrorCode { return &f.ErrorCode }, nil),
	"order_id":           equalsNumber(func(f *syncs.Filter) *int64 { return &f.OrderID }),
	"error_group":        equalsNumber(func(f *syncs.Filter) *int64 { return &f.ErrorGroup }),
	"http_status":        {[]string{isEqual}, func(f *syncs.Filter, _, value string) error { return setNumber(&f.HTTPStatus, value, 100, 599) }},
	"last_error":         {[]string{isLike}, setLike},
	"attempts":           {append([]string{isEqual}, compared...), setAttempts},
	"created_at": {compared, func(f *syncs.Filter, is, value string) error {
		return setTime(&f.CreatedSince, &f.CreatedUntil, is, value)
	}},
	"updated_at": {compared, func(f *syncs.Filter, is, value string) error {
		return setTime(&f.UpdatedSince, &f.UpdatedUntil, is, value)
	}},
}

// apply adds the condition to the filter. When it cannot, it says which part of the condition is wrong, and why.
func (c criterion) apply(f *syncs.Filter) (key, detail string) {
	of, known := conditions[c.Field]
	is := c.ConditionType
	switch {
	case !known:
		return "field", fmt.Sprintf("is %.100q, which cannot be asked for: %s", c.Field, spelling.Hint(c.Field, slices.Sorted(maps.Keys(conditions))))
	case !slices.Contains(of.takes, is):
		return "condition_type", fmt.Sprintf("is %.100q; %s can be asked for by %s", is, c.Field, strings.Join(of.takes, ", "))
	}
	if same, there := sameAs[is]; there {
		is = same
	}
	if err := of.set(f, is, c.Value); err != nil {
		return "value", err.Error()
	}
	return "", ""
}

// equals is the condition of a text. It may be given once, as no text is two.
func equals[T ~string](field func(*syncs.Filter) *T, check func(string) error) condition {
	return condition{[]string{isEqual}, func(f *syncs.Filter, _, value string) error {
		if value == "" {
			return errEmpty
		}
		if check != nil {
			if err := check(value); err != nil {
				return err
			}
		}
		return setOnce(field(f), T(value))
	}}
}

func equalsNumber(field func(*syncs.Filter) *int64) condition {
	return condition{[]string{isEqual}, func(f *syncs.Filter, _, value string) error {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < 1 {
			return fmt.Errorf("is %.100q; it must be a whole number above 0", value)
		}
		return setOnce(field(f), n)
	}}
}

var errEmpty = fmt.Errorf("is empty; leave the filter out to ask for all")

func setOnce[T comparable](field *T, value T) error {
	var none T
	if *field != none && *field != value {
		return fmt.Errorf("is asked for twice, with different values: nothing is both")
	}
	*field = value
	return nil
}

func setNumber(field *int, value string, least, most int) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < least || n > most {
		return fmt.Errorf("is %.100q; it must be a whole number from %d to %d", value, least, most)
	}
	return setOnce(field, n)
}

// setLike takes %text%: what stands anywhere in the error.
func setLike(f *syncs.Filter, _, value string) error {
	text := strings.TrimSuffix(strings.TrimPrefix(value, "%"), "%")
	if len(value) != len(text)+2 || text == "" || strings.Contains(text, "%") {
		return fmt.Errorf("is %.100q; it must be a text between two percent signs, %%25 in a URL", value)
	}
	return setOnce(&f.Error, text)
}

// setAttempts narrows the range of attempts. 0 asks for any, so what no sync could have is refused.
func setAttempts(f *syncs.Filter, is, value string) error {
	const most = 1000
	var n int
	if err := setNumber(&n, value, 0, most); err != nil {
		return err
	}
	least, up := n, n
	switch is {
	case isAbove:
		least, up = n+1, 0
	case isAtLeast:
		up = 0
	case isBelow:
		least, up = 0, n-1
	case isAtMost:
		least = 0
	}
	if is != isAbove && is != isAtLeast && up < 1 {
		return fmt.Errorf("asks for syncs without attempts; ask for the status pending or queued")
	}
	f.AttemptsFrom = max(f.AttemptsFrom, least)
	if up > 0 && (f.AttemptsTo == 0 || up < f.AttemptsTo) {
		f.AttemptsTo = up
	}
	return nil
}

// setTime narrows a range of times. Magento's times are whole seconds: what happened within one is neither before nor after it.
func setTime(since, until *time.Time, is, value string) error {
	var at time.Time
	err := fmt.Errorf("is %.100q; it must be a time like 2024-01-15 10:00:00 (UTC), or a day", value)
	for _, layout := range []string{time.DateTime, time.DateOnly, time.RFC3339} {
		if t, parsed := time.Parse(layout, value); parsed == nil && t.Year() >= 1 {
			at, err = t.UTC(), nil
		}
	}
	if err != nil {
		return err
	}
	if is == isAbove || is == isAtMost {
		at = at.Add(time.Second)
	}
	switch is {
	case isAbove, isAtLeast:
		if at.After(*since) {
			*since = at
		}
	default:
		if until.IsZero() || at.Before(*until) {
			*until = at
		}
	}
	return nil
}

func ofStatuses(filters []criterion) bool {
	return !slices.ContainsFunc(filters, func(c criterion) bool { return c.Field != "status" })
}

// restrictStatuses takes the statuses of a group, of which one must hold, and those that were asked for before.
func restrictStatuses(p *httpapi.Parameters, f *syncs.Filter, filters []criterion) {
	var asked []domain.Status
	for _, c := range filters {
		if c.ConditionType != isEqual && c.ConditionType != isIn {
			p.Refuse(c.at+"[condition_type]", problem.CodeInvalid, fmt.Sprintf("is %.100q; status can be asked for by eq, in", c.ConditionType))
			return
		}
		for _, name := range strings.Split(c.Value, ",") {
			if !slices.Contains(domain.Statuses, domain.Status(name)) {
				p.Refuse(c.at+"[value]", problem.CodeInvalid, fmt.Sprintf("has %.100q; give one or more of %s, with commas between them", name, listed(domain.Statuses)))
				return
			}
			asked = append(asked, domain.Status(name))
		}
	}
	if f.Statuses != nil {
		asked = slices.DeleteFunc(asked, func(s domain.Status) bool { return !slices.Contains(f.Statuses, s) })
	}
	if len(asked) == 0 {
		p.Refuse(filters[0].at+"[value]", problem.CodeInvalid, "leaves no status with the other groups: nothing is both")
		return
	}
	slices.Sort(asked)
	f.Statuses = slices.Compact(asked)
}
