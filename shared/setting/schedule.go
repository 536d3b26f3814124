package setting

import (
	"errors"

	"github.com/robfig/cron/v3"
)

// fiveFields takes no @hourly: what is written is what the table shows.
var fiveFields = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

// ParseSchedule reads a cron expression of five fields. Give its Next a time in UTC: the expression is read in that
// time's zone, and names none of its own.
func ParseSchedule(text string) (cron.Schedule, error) {
	if len(text) > 0 && (text[0] == 'T' || text[0] == 'C') { // TZ=, CRON_TZ=
		return nil, errors.New("a schedule names no time zone; it is in UTC")
	}
	s, err := fiveFields.Parse(text)
	if err != nil {
		return nil, err
	}
	if s.Next(someDay).IsZero() {
		return nil, errors.New("the schedule never comes to pass")
	}
	return s, nil
}
