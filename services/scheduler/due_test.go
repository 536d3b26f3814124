package scheduler

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/setting"
)

func at(s string) time.Time {
	t, err := time.Parse("2006-01-02 15:04:05", s)
	if err != nil {
		panic(err)
	}
	return t
}

func TestDue(t *testing.T) {
	for name, c := range map[string]struct {
		schedule, last, now, want string // want empty: none is due
	}{
		"before_its_time":                 {"0 * * * *", "2024-01-15 10:00:00", "2024-01-15 10:59:59", ""},
		"at_its_time":                     {"0 * * * *", "2024-01-15 10:00:00", "2024-01-15 11:00:00", "2024-01-15 11:00:00"},
		"a_moment_late":                   {"0 * * * *", "2024-01-15 10:00:00", "2024-01-15 11:00:00", "2024-01-15 11:00:00"},
		"done_already":                    {"0 * * * *", "2024-01-15 11:00:00", "2024-01-15 11:00:01", ""},
		"the_first_start_was_in_between":  {"0 * * * *", "2024-01-15 10:17:31", "2024-01-15 10:59:59", ""},
		"one_missed":                      {"0 * * * *", "2024-01-15 10:00:00", "2024-01-15 11:40:00", "2024-01-15 11:00:00"},
		"many_missed_are_one":             {"0 * * * *", "2024-01-15 10:00:00", "2024-01-17 09:40:00", "2024-01-17 09:00:00"},
		"missed_for_a_year":               {"* * * * *", "2023-01-15 10:00:00", "2024-01-15 10:30:30", "2024-01-15 10:30:00"},
		"the_last_day_of_february_missed": {"0 0 29 2 *", "2020-01-01 00:00:00", "2027-01-01 00:00:00", "2024-02-29 00:00:00"},
		"weekday":                         {"30 6 * * 1", "2024-01-10 00:00:00", "2024-01-16 12:00:00", "2024-01-15 06:30:00"},
		"the_clock_went_back":             {"0 * * * *", "2024-01-15 11:00:00", "2024-01-15 10:30:00", ""},
		"in_utc_where_clocks_change":      {"30 2 * * *", "2024-03-30 02:30:00", "2024-03-31 02:30:00", "2024-03-31 02:30:00"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := setting.ParseSchedule(c.schedule)
			require.NoError(t, err)
			got, isDue := due(s, at(c.last), at(c.now))
			require.Equal(t, c.want != "", isDue)
			if isDue {
				require.Equal(t, at(c.want), got)
			}
		})
	}
}

// Told by counting through every scheduled time: the run is the latest one, and with it noted none is due.
func TestDueIsTheLatestScheduledTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		expression := rapid.SampledFrom([]string{
			"* * * * *", "*/7 * * * *", "0 * * * *", "17 3 * * *", "0 0 * * 0", "5 4 1 * *", "0 12 1,15 */2 *", "59 23 31 12 *",
		}).Draw(t, "schedule")
		s, err := setting.ParseSchedule(expression)
		require.NoError(t, err)
		last := at("2024-01-01 00:00:00").Add(time.Duration(rapid.Int64Range(0, int64(400*24*time.Hour)).Draw(t, "last")))
		now := last.Add(time.Duration(rapid.Int64Range(-int64(time.Hour), int64(40*24*time.Hour)).Draw(t, "passed")))
		var want time.Time
		for next := s.Next(last); passed(next, now); next = s.Next(next) {
			want = next
		}
		got, isDue := due(s, last, now)
		require.Equal(t, !want.IsZero(), isDue)
		require.Equal(t, want, got)
		if isDue {
			_, again := due(s, got, now)
			require.False(t, again)
		}
	})
}
