package setting

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // the time zones, for machines that have none

	"github.com/erpconnector/erpconnector/shared/domain"
)

// The shortest and the longest window.
const (
	minWindow = time.Minute
	maxWindow = 7 * 24 * time.Hour
)

// someDay is a day of a leap year, from which schedules are checked.
var someDay = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

var windows = kind[string]{
	typ: Windows, forms: formText,
	allowed: fmt.Sprintf("windows, with a semicolon between two; each is five fields of cron for its begin, a duration from %s to %s, and an IANA time zone, like 0 2 * * SUN 4h Europe/Berlin; or none",
		short(minWindow), short(maxWindow)),
	parse: func(text string) (string, bool) {
		if text == noWindows {
			return "", true
		}
		return canonicalWindows(text)
	},
	format: windowsText,
	encode: func(text string) any { return windowsText(text) },
	within: func(text string) bool { _, err := ParseWindows(text); return err == nil },
}

const noWindows = "none"

func windowsText(text string) string {
	if text == "" {
		return noWindows
	}
	return text
}

// ParseWindows reads windows like "0 2 * * SUN 4h Europe/Berlin", with semicolons between them.
func ParseWindows(text string) (ws []domain.Window, err error) {
	for part := range strings.SplitSeq(text, ";") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		w, err := parseWindow(part)
		if err != nil {
			return nil, err
		}
		ws = append(ws, w)
	}
	return ws, nil
}

const windowFields = 7 // five of cron, a duration, a zone

func parseWindow(text string) (w domain.Window, err error) {
	parts := strings.Fields(text)
	if len(parts) != windowFields {
		return w, fmt.Errorf("a window has %d parts and not %d: five fields of cron, a duration, a time zone", windowFields, len(parts))
	}
	if w.Begins, err = ParseSchedule(strings.Join(parts[:5], " ")); err != nil {
		return w, err
	}
	var ok bool
	if w.Duration, ok = parseDuration(parts[5]); !ok || w.Duration < minWindow || w.Duration > maxWindow {
		return w, fmt.Errorf("a window lasts from %s to %s, and not %s", short(minWindow), short(maxWindow), parts[5])
	}
	if parts[6] == "Local" { // that of the machine: processes would differ
		return w, fmt.Errorf("the time zone %s is not one of IANA's, like Europe/Berlin", parts[6])
	}
	if w.Zone, err = time.LoadLocation(parts[6]); err != nil {
		return w, fmt.Errorf("the time zone %s is not one of IANA's, like Europe/Berlin", parts[6])
	}
	return w, nil
}

// canonicalWindows is the text as it is shown.
func canonicalWindows(text string) (canonical string, ok bool) {
	var out []string
	for part := range strings.SplitSeq(text, ";") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		w, err := parseWindow(part)
		if err != nil {
			return "", false
		}
		parts := strings.Fields(part)
		parts[5] = short(w.Duration)
		out = append(out, strings.Join(parts, " "))
	}
	return strings.Join(out, "; "), len(out) > 0
}
