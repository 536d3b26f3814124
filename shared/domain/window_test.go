package domain

import (
	"slices"
	"testing"
	"time"

	"github.com/robfig/cron/v3"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func windowOf(t require.TestingT, expression string, lasts time.Duration, zone string) Window {
	begins, err := cron.ParseStandard(expression)
	require.NoError(t, err)
	location, err := time.LoadLocation(zone)
	require.NoError(t, err)
	return Window{Begins: begins, Duration: lasts, Zone: location}
}

// In 2026 the clock in Berlin jumps from 02:00 to 03:00 on March 29, and goes back from 03:00 to 02:00 on October 25.
func TestWhenAWindowShuts(t *testing.T) {
	t.Parallel()
	const berlin = "Europe/Berlin"
	night := windowOf(t, "30 2 * * *", time.Hour, berlin)
	long := windowOf(t, "0 1 * * *", 3*time.Hour, berlin)
	endsInside := windowOf(t, "0 1 * * *", 90*time.Minute, berlin)
	for name, c := range map[string]struct {
		windows []Window
		from    string // in RFC 3339: calls may go out just before it
		until   string
	}{
		"on a day like others":                       {[]Window{night}, "2026-03-28T02:30:00+01:00", "2026-03-28T03:30:00+01:00"},
		"it begins in the hour that is left out":     {[]Window{night}, "2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00"},
		"it begins in the hour that comes twice":     {[]Window{night}, "2026-10-25T02:30:00+02:00", "2026-10-25T03:30:00+01:00"},
		"it ends in the hour that is left out":       {[]Window{endsInside}, "2026-03-29T01:00:00+01:00", "2026-03-29T03:30:00+02:00"},
		"it ends in the hour that comes twice":       {[]Window{endsInside}, "2026-10-25T01:00:00+02:00", "2026-10-25T02:30:00+01:00"},
		"it spans the jump, by the hour":             {[]Window{long}, "2026-03-29T01:00:00+01:00", "2026-03-29T05:00:00+02:00"},
		"it spans the hour that comes twice":         {[]Window{long}, "2026-10-25T01:00:00+02:00", "2026-10-25T04:00:00+01:00"},
		"it ends when the clock goes back":           {[]Window{windowOf(t, "59 1 * * *", time.Minute, berlin)}, "2026-10-25T01:59:00+02:00", "2026-10-25T02:00:00+02:00"},
		"two overlap":                                {[]Window{windowOf(t, "0 8 * * *", 2*time.Hour, "UTC"), windowOf(t, "0 9 * * *", 3*time.Hour, "UTC")}, "2026-05-04T08:00:00Z", "2026-05-04T12:00:00Z"},
		"two touch":                                  {[]Window{windowOf(t, "0 8 * * *", time.Hour, "UTC"), windowOf(t, "0 9 * * *", time.Hour, "UTC")}, "2026-05-04T08:00:00Z", "2026-05-04T10:00:00Z"},
		"one within another":                         {[]Window{windowOf(t, "0 8 * * *", 4*time.Hour, "UTC"), windowOf(t, "0 9 * * *", time.Hour, "UTC")}, "2026-05-04T08:00:00Z", "2026-05-04T12:00:00Z"},
		"one overlaps itself":                        {[]Window{windowOf(t, "0,30 8-9 * * *", time.Hour, "UTC")}, "2026-05-04T08:00:00Z", "2026-05-04T10:30:00Z"},
		"zones meet":                                 {[]Window{windowOf(t, "0 8 * * *", time.Hour, "UTC"), windowOf(t, "0 11 * * *", time.Hour, berlin)}, "2026-05-04T08:00:00Z", "2026-05-04T10:00:00Z"},
		"over midnight, and over the end of a month": {[]Window{windowOf(t, "0 23 31 * *", 2*time.Hour, "UTC")}, "2026-05-31T23:00:00Z", "2026-06-01T01:00:00Z"},
		"a leap day":                                 {[]Window{windowOf(t, "0 0 29 2 *", 24*time.Hour, "UTC")}, "2028-02-29T00:00:00Z", "2028-03-01T00:00:00Z"},
		"half an hour is left out":                   {[]Window{windowOf(t, "15 2 * * *", 30*time.Minute, "Australia/Lord_Howe")}, "2026-10-04T02:30:00+11:00", "2026-10-04T03:00:00+11:00"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, err := time.Parse(time.RFC3339, c.from)
			require.NoError(t, err)
			calendar := Calendar{Maintenance: c.windows}
			_, shut := calendar.Until(from.Add(-1))
			require.False(t, shut, "before it")
			for _, now := range []time.Time{from, from.Add(30 * time.Second)} {
				until, shut := calendar.Until(now)
				require.True(t, shut, now)
				require.Equal(t, c.until, until.In(zoneOf(t, c.until)).Format(time.RFC3339), now)
			}
			end, _ := calendar.Until(from)
			_, shut = calendar.Until(end)
			require.False(t, shut, "after it")
		})
	}
}

func zoneOf(t *testing.T, text string) *time.Location {
	at, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err)
	_, offset := at.Zone()
	if offset == 0 {
		return time.UTC
	}
	return time.FixedZone("", offset)
}

func TestWorkingHours(t *testing.T) {
	t.Parallel()
	week := Calendar{WorkingHours: []Window{windowOf(t, "0 8 * * MON-FRI", 10*time.Hour, "Europe/Berlin")}}
	lunch := week
	lunch.Maintenance = []Window{windowOf(t, "0 7 * * MON-FRI", 90*time.Minute, "Europe/Berlin")}
	night := Calendar{WorkingHours: []Window{windowOf(t, "0 22 * * *", 8*time.Hour, "Europe/Berlin")}}
	always := Calendar{WorkingHours: []Window{windowOf(t, "0 0 * * *", 24*time.Hour, "Europe/Berlin")}}
	for name, c := range map[string]struct {
		calendar Calendar
		now      string
		until    string // "": calls may go out
	}{
		"on a Monday":                          {week, "2026-05-04T08:00:00+02:00", ""},
		"at its end":                           {week, "2026-05-04T18:00:00+02:00", "2026-05-05T08:00:00+02:00"},
		"on a Friday night":                    {week, "2026-05-08T18:00:01+02:00", "2026-05-11T08:00:00+02:00"},
		"over a change of the clock":           {week, "2026-03-28T12:00:00+01:00", "2026-03-30T08:00:00+02:00"},
		"and back":                             {week, "2026-10-24T12:00:00+02:00", "2026-10-26T08:00:00+01:00"},
		"maintenance at their begin":           {lunch, "2026-05-04T06:00:00+02:00", "2026-05-04T08:30:00+02:00"},
		"a night ends by the clock, in spring": {night, "2026-03-29T06:00:00+02:00", "2026-03-29T22:00:00+02:00"},
		"and not before":                       {night, "2026-03-29T05:59:59+02:00", ""},
		"a night ends by the clock, in autumn": {night, "2026-10-25T06:00:00+01:00", "2026-10-25T22:00:00+01:00"},
		"and is open until then":               {night, "2026-10-25T05:59:59+01:00", ""},
		"a day of 25 hours":                    {always, "2026-10-25T23:30:00+01:00", ""},
		"a day of 23 hours":                    {always, "2026-03-29T03:00:00+02:00", ""},
		"no calendar":                          {Calendar{}, "2026-05-04T08:00:00+02:00", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now, err := time.Parse(time.RFC3339, c.now)
			require.NoError(t, err)
			until, shut := c.calendar.Until(now)
			require.Equal(t, c.until != "", shut)
			if !shut {
				require.True(t, until.Equal(now))
				return
			}
			require.Equal(t, c.until, until.In(zoneOf(t, c.until)).Format(time.RFC3339))
		})
	}
}

// Windows longer than their period leave no time at all. Until names a time at which to ask again, and comes back soon.
func TestACalendarThatNeverOpens(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		calendar Calendar
		opens    bool
	}{
		"a window longer than its period":     {Calendar{Maintenance: []Window{windowOf(t, "0 * * * *", 2*time.Hour, "UTC")}}, false},
		"as long as its period":               {Calendar{Maintenance: []Window{windowOf(t, "* * * * *", time.Minute, "UTC")}}, false},
		"dense for a week":                    {Calendar{Maintenance: []Window{windowOf(t, "* * * * *", 7*24*time.Hour, "UTC")}}, false},
		"working hours within maintenance":    {Calendar{Maintenance: []Window{windowOf(t, "0 8 * * *", 12*time.Hour, "UTC")}, WorkingHours: []Window{windowOf(t, "0 9 * * *", 2*time.Hour, "UTC")}}, false},
		"working hours partly in maintenance": {Calendar{Maintenance: []Window{windowOf(t, "0 8 * * *", 2*time.Hour, "UTC")}, WorkingHours: []Window{windowOf(t, "0 9 * * *", 2*time.Hour, "UTC")}}, true},
		"all working hours":                   {Calendar{WorkingHours: []Window{windowOf(t, "0 * * * *", 2*time.Hour, "UTC")}}, true},
		"a minute in each hour":               {Calendar{Maintenance: []Window{windowOf(t, "1 * * * *", 59*time.Minute, "UTC")}}, true},
		"a day in the year":                   {Calendar{WorkingHours: []Window{windowOf(t, "0 0 1 7 *", 24*time.Hour, "UTC")}}, true},
		"a day that never comes":              {Calendar{WorkingHours: []Window{{Begins: never{}, Duration: time.Hour, Zone: time.UTC}}}, false},
		"maintenance that never comes":        {Calendar{Maintenance: []Window{{Begins: never{}, Duration: time.Hour, Zone: time.UTC}}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.opens, c.calendar.Opens(noon))
			until, shut := c.calendar.Until(noon)
			require.Equal(t, until.After(noon), shut)
			if !c.opens {
				require.True(t, shut)
			}
		})
	}
}

type never struct{}

func (never) Next(time.Time) time.Time { return time.Time{} }

// clock is an oracle: it walks through some days minute by minute, and looks at the clock on the wall.
type clock struct {
	start  time.Time
	newest []time.Time // that it has shown until each minute
	oldest []time.Time // that it will show from each minute on
}

func clockOf(start time.Time, days int, zone *time.Location) (c clock) {
	c.start = start
	for m := range days * 24 * 60 {
		at := start.Add(time.Duration(m) * time.Minute).In(zone)
		shown := time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), 0, 0, time.UTC)
		c.oldest = append(c.oldest, shown)
		if m > 0 {
			shown = later(shown, c.newest[m-1])
		}
		c.newest = append(c.newest, shown)
	}
	for m := len(c.oldest) - 2; m >= 0; m-- {
		if c.oldest[m+1].Before(c.oldest[m]) {
			c.oldest[m] = c.oldest[m+1]
		}
	}
	return c
}

// span is a window that begins at a time on the wall: from the first minute in which the clock has reached it, to the first from which
// on it shows no time before its end.
func (c clock) span(begins time.Time, lasts time.Duration) (from, to int) {
	from, _ = slices.BinarySearchFunc(c.newest, begins, time.Time.Compare)
	to, _ = slices.BinarySearchFunc(c.oldest, begins.Add(lasts), time.Time.Compare)
	return from, to
}

// The windows' arithmetic says the same as looking at the clock every minute, around all kinds of changes of it.
func TestWindowsAreWhatTheClockShows(t *testing.T) {
	t.Parallel()
	changes := map[string][]string{
		"Europe/Berlin":       {"2026-03-27", "2026-10-23", "2026-06-01"},
		"America/New_York":    {"2026-03-06", "2026-10-30"},
		"Australia/Lord_Howe": {"2026-04-03", "2026-10-02"},
		"America/Sao_Paulo":   {"2018-11-02", "2018-02-16"}, // the clock changed at midnight
		"Asia/Kathmandu":      {"2026-03-27"},
		"Pacific/Apia":        {"2011-12-28"}, // December 30 was left out
		"UTC":                 {"2026-03-27"},
	}
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom([]string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Apia", "UTC"}).Draw(t, "zone")
		start, err := time.Parse(time.DateOnly, rapid.SampledFrom(changes[zone]).Draw(t, "start"))
		require.NoError(t, err)
		minute := rapid.SampledFrom([]string{"0", "30", "15,45", "59", "*/20"}).Draw(t, "minute")
		hour := rapid.SampledFrom([]string{"0", "1", "2", "3", "23", "*", "0-3", "2,14"}).Draw(t, "hour")
		lasts := time.Duration(rapid.IntRange(1, 30*60).Draw(t, "minutes")) * time.Minute
		w := windowOf(t, minute+" "+hour+" * * *", lasts, zone)

		const days, lead = 6, 2
		c := clockOf(start.AddDate(0, 0, -lead), days+lead, w.Zone)
		shut, open := make([]bool, len(c.newest)), make([]bool, len(c.newest))
		for s := w.Begins.Next(c.oldest[0].AddDate(0, 0, -1)); !s.After(c.newest[len(c.newest)-1]); s = w.Begins.Next(s) {
			from, to := c.span(s, lasts)
			for m := from; m < min(len(shut), max(to, from+int(lasts.Minutes()))); m++ {
				shut[m] = true
				open[m] = open[m] || m < to
			}
		}
		steps := rapid.IntRange(1, 40)
		if !(Calendar{Maintenance: []Window{w}}.Opens(start)) { // then Until looks at hundreds of windows
			steps = rapid.Just(1500)
		}
		for m := lead * 24 * 60; m < len(shut); m += steps.Draw(t, "step") {
			now := c.start.Add(time.Duration(m) * time.Minute)
			until, isShut := Calendar{Maintenance: []Window{w}}.Until(now)
			require.Equal(t, shut[m], isShut, "maintenance at %s", now.In(w.Zone))
			next := m
			for next < len(shut) && shut[next] {
				next++
			}
			if next < len(shut) {
				require.True(t, until.Equal(c.start.Add(time.Duration(next)*time.Minute)), "maintenance at %s until %s", now.In(w.Zone), until.In(w.Zone))
			}
			_, isShut = Calendar{WorkingHours: []Window{w}}.Until(now)
			require.Equal(t, !open[m], isShut, "working hours at %s", now.In(w.Zone))
		}
	})
}
