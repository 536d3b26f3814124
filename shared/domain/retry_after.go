package domain

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// MaxRetryAfter bounds every wait for the next attempt, so that no setting and no header parks an order for years.
const MaxRetryAfter = 30 * 24 * time.Hour

// RetryAfter is what the header of an answer asks for.
type RetryAfter struct {
	At     *time.Time // nil: nothing
	Capped bool       // it asked for more than the limit
	limit  time.Duration
}

// ParseRetryAfter reads the header of RFC 9110, section 10.2.3: whole seconds, or a date. A date in the past asks for nothing, and so
// does whatever cannot be read, like a negative number or a fraction. A longer wait than the limit is capped, however many digits the
// number has. Without a limit it is MaxRetryAfter, which is also the highest.
func ParseRetryAfter(header string, limit time.Duration, now time.Time) RetryAfter {
	if limit <= 0 || limit > MaxRetryAfter {
		limit = MaxRetryAfter
	}
	header = strings.TrimSpace(header)
	var at time.Time
	switch wait, isNumber := parseSeconds(header); {
	case isNumber && wait > limit:
		return capped(limit, now)
	case isNumber:
		at = now.Add(wait)
	default:
		var err error
		if at, err = parseHTTPDate(header); err != nil || at.Before(now) {
			return RetryAfter{}
		}
		if at.Sub(now) > limit {
			return capped(limit, now)
		}
	}
	return RetryAfter{At: &at}
}

func capped(limit time.Duration, now time.Time) RetryAfter {
	at := now.Add(limit)
	return RetryAfter{At: &at, Capped: true, limit: limit}
}

// parseSeconds reads digits. A number that does not fit is longer than MaxRetryAfter.
func parseSeconds(text string) (wait time.Duration, isNumber bool) {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds > int64(MaxRetryAfter/time.Second) {
		return MaxRetryAfter + time.Second, true
	}
	return time.Duration(seconds) * time.Second, true
}

// parseHTTPDate reads the three date formats of RFC 9110, section 5.6.7. All of them are in GMT.
func parseHTTPDate(text string) (at time.Time, err error) {
	for _, layout := range []string{"Mon, 02 Jan 2006 15:04:05 GMT", "Monday, 02-Jan-06 15:04:05 GMT", time.ANSIC} {
		if at, err = time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, err
}

// words says that a wait was capped; empty when it was not.
func (r RetryAfter) words(header string) string {
	if !r.Capped {
		return ""
	}
	return fmt.Sprintf("Retry-After is %.40q: the connector waits %s at most", strings.TrimSpace(header), waitWords(r.limit))
}

func waitWords(d time.Duration) string {
	switch hours := d / time.Hour; {
	case d%time.Hour != 0:
		return d.String()
	case hours > 48 && hours%24 == 0:
		return fmt.Sprintf("%d days", hours/24)
	case hours == 1:
		return "1 hour"
	default:
		return fmt.Sprintf("%d hours", hours)
	}
}
