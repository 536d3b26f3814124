package setting

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// A value as the environment and the command line give it, and as it is shown again.
func TestValuesAsText(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ setting, given, shown string }{
		"a_boolean":                 {"enabled", "false", "false"},
		"a_boolean_as_number":       {"debug", "1", "true"},
		"a_boolean_in_capitals":     {"debug", "TRUE", "true"},
		"the_lowest_integer":        {"cron_batch", "0", "0"},
		"the_highest_integer":       {"cron_batch", "10000", "10000"},
		"an_integer_with_a_sign":    {"cron_batch", "+7", "7"},
		"the_shortest_duration":     {"erp_timeout", "100ms", "100ms"},
		"the_longest_duration":      {"erp_timeout", "10m", "10m"},
		"seconds":                   {"erp_timeout", "90", "1m30s"},
		"parts_of_a_second":         {"erp_timeout", "0.25", "250ms"},
		"seconds_with_an_exponent":  {"retry_base_delay", "3.6e3", "1h"},
		"only_the_last_zeros_go":    {"retry_base_delay", "10h10m", "10h10m"},
		"zeros_in_between_stay":     {"retry_base_delay", "1h0m30s", "1h0m30s"},
		"twenty_minutes":            {"retry_base_delay", "20m", "20m"},
		"a_whole_day":               {"retry_base_delay", "24h", "24h"},
		"no_cap":                    {"retry_max_delay", "0s", "0s"},
		"a_share":                   {"retry_jitter", "0.1", "0.1"},
		"a_share_with_an_exponent":  {"retry_jitter", "1e-1", "0.1"},
		"all_of_it":                 {"retry_jitter", "1", "1"},
		"statuses":                  {"retryable_codes", " 423 ,,409,423", "409,423"},
		"the_lowest_status":         {"retryable_codes", "300", "300"},
		"the_highest_status":        {"retryable_codes", "499", "499"},
		"no_statuses":               {"retryable_codes", "", ""},
		"answers":                   {"already_booked", "422:DUP, 409:B ,409:A,409", "409,409:A,409:B,422:DUP"},
		"an_answer_of_a_5xx":        {"already_booked", "599:x.Y_z-1", "599:x.Y_z-1"},
		"the_longest_code":          {"already_booked", "409:" + strings.Repeat("c", 64), "409:" + strings.Repeat("c", 64)},
		"no_answers":                {"already_booked", " , ", ""},
		"an_address":                {"erp_base_url", "http://[::1]:8080/api", "http://[::1]:8080/api"},
		"an_address_in_capitals":    {"erp_base_url", "HTTPS://ERP.EXAMPLE", "HTTPS://ERP.EXAMPLE"},
		"a_schedule":                {"cron_schedule", "  15,45   8-18/2  *  *  1-5 ", "15,45 8-18/2 * * 1-5"},
		"a_sunday_by_its_name":      {"cron_schedule", "0 3 * * sun", "0 3 * * sun"},
		"the_last_minute_of_a_year": {"cron_schedule", "59 23 31 12 *", "59 23 31 12 *"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, ok := FieldOf(c.setting)
			require.True(t, ok)
			s := Defaults()
			s.Enabled, s.Debug = !s.Enabled, !s.Debug // so that each value is a change
			if c.setting == "enabled" {
				s.Enabled = true
			}
			if c.setting == "debug" {
				s.Debug = false
			}
			require.NoError(t, f.Parse(&s, c.given))
			require.Equal(t, c.shown, f.Text(s))
			again := Defaults()
			require.NoError(t, f.Parse(&again, f.Text(s)), "what is shown can be given")
			require.Equal(t, c.shown, f.Text(again))
		})
	}
}

func TestRefusedTexts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ setting, given, shown string }{
		"a_word_for_a_boolean":     {"enabled", "yes", `"yes"`},
		"an_empty_boolean":         {"enabled", "", `""`},
		"an_integer_with_a_blank":  {"cron_batch", " 5", `" 5"`},
		"an_integer_with_a_point":  {"cron_batch", "5.0", `"5.0"`},
		"below_the_lowest":         {"cron_batch", "-1", `"-1"`},
		"above_the_highest":        {"cron_batch", "10001", `"10001"`},
		"beyond_all_integers":      {"cron_batch", "99999999999999999999", `"99999999999999999999"`},
		"a_duration_below":         {"erp_timeout", "99ms", `"99ms"`},
		"a_duration_above":         {"erp_timeout", "10m1ns", `"10m1ns"`},
		"a_negative_duration":      {"retry_max_delay", "-1s", `"-1s"`},
		"days":                     {"retry_base_delay", "1d", `"1d"`},
		"a_duration_without_end":   {"retry_max_delay", "Inf", `"Inf"`},
		"a_share_that_is_none":     {"retry_jitter", "NaN", `"NaN"`},
		"a_negative_share":         {"retry_jitter", "-0.01", `"-0.01"`},
		"a_percentage":             {"retry_jitter", "10%", `"10%"`},
		"a_status_below":           {"retryable_codes", "299", `"299"`},
		"a_status_above":           {"retryable_codes", "500", `"500"`},
		"statuses_by_semicolons":   {"retryable_codes", "409;423", `"409;423"`},
		"a_letter_in_a_status":     {"retryable_codes", "4O9", `"4O9"`},
		"an_answer_above":          {"already_booked", "600:DUP", `"600:DUP"`},
		"an_answer_without_a_code": {"already_booked", "422", `"422"`},
		"an_answer_of_two_codes":   {"already_booked", "409:A:B", `"409:A:B"`},
		"a_code_too_long":          {"already_booked", "409:" + strings.Repeat("c", 65), `"409:` + strings.Repeat("c", 65) + `"`},
		"a_code_with_a_blank":      {"already_booked", "409:A B", `"409:A B"`},
		"an_address_of_files":      {"erp_base_url", "file:///etc/passwd", `"file:///etc/passwd"`},
		"an_address_without_host":  {"erp_base_url", "http:///api", `"http:///api"`},
		"a_port_that_is_none":      {"erp_base_url", "http://erp:port", `"http://erp:port"`},
		"an_empty_fragment":        {"erp_base_url", "http://erp#", `"http://erp#"`},
		"four_fields":              {"cron_schedule", "0 * * *", `"0 * * *"`},
		"no_schedule":              {"cron_schedule", "", `""`},
		"minute_60":                {"cron_schedule", "60 * * * *", `"60 * * * *"`},
		"a_step_of_0":              {"cron_schedule", "*/0 * * * *", `"*/0 * * * *"`},
		"a_range_backwards":        {"cron_schedule", "0 6-2 * * *", `"0 6-2 * * *"`},
		"the_31st_of_april":        {"cron_schedule", "0 0 31 4 *", `"0 0 31 4 *"`},
		"the_longest_that_is_seen": {"cron_schedule", strings.Repeat("x", 120), `"` + strings.Repeat("x", 120) + `"`},
		"longer_than_is_seen":      {"cron_schedule", strings.Repeat("x", 121), `"` + strings.Repeat("x", 120) + `…"`},
		"letters_of_two_bytes":     {"cron_schedule", strings.Repeat("ß", 121), `"` + strings.Repeat("ß", 120) + `…"`},
		"what_a_terminal_obeys":    {"cron_schedule", "\u202e0 * * * *", `"\u202e0 * * * *"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, ok := FieldOf(c.setting)
			require.True(t, ok)
			s := Defaults()
			err := f.Parse(&s, c.given)
			require.EqualError(t, err, c.setting+" is "+c.shown+"; it must be "+f.Allowed)
			require.Equal(t, Defaults(), s)
			var p Problem
			require.ErrorAs(t, err, &p)
			require.Equal(t, f.Variable, p.Variable, "the environment tells it by the variable")
		})
	}
}

// A program reads the pointer and the code; people read the rest.
func TestProblemsInTheFormOfTheAPI(t *testing.T) {
	t.Parallel()
	require.Empty(t, Problems(nil).FieldErrors())
	require.Empty(t, Problems(nil).Error())
	decode := func(name, raw string) Problem {
		f, err := Find(name)
		require.NoError(t, err)
		s := Defaults()
		var p Problem
		require.ErrorAs(t, f.Decode(&s, json.RawMessage(raw)), &p)
		return p
	}
	_, misspelt := Find("enabeld")
	_, odd := Find("a/b~c")
	_, long := Find(strings.Repeat("ä", 100))
	var none, path, endless Problem
	require.ErrorAs(t, misspelt, &none)
	require.ErrorAs(t, odd, &path)
	require.ErrorAs(t, long, &endless)
	apart := Defaults()
	apart.MaxDelay = time.Second
	var contradiction Problems
	require.ErrorAs(t, apart.Validate(), &contradiction)
	all := append(Problems{
		decode("enabled", `2`), decode("cron_schedule", `"a\u0007b"`), decode("cron_schedule", `"`+strings.Repeat("*", 2001)+`"`), none, path, endless,
	}, contradiction...)
	got := all.FieldErrors()
	require.Equal(t, problem.FieldError{Pointer: "/enabled", Code: problem.CodeInvalid, Detail: "is 2; it must be true or false"}, got[0])
	schedule, _ := FieldOf("cron_schedule")
	require.Equal(t, problem.FieldError{
		Pointer: "/cron_schedule", Code: problem.CodeText, Detail: "contains the control character U+0007; remove it; it must be " + schedule.Allowed,
	}, got[1])
	require.Equal(t, problem.FieldError{
		Pointer: "/cron_schedule", Code: problem.CodeTooLong, Detail: "has 2001 bytes; at most 2000 are taken; it must be " + schedule.Allowed,
	}, got[2])
	require.Equal(t, problem.FieldError{Pointer: "/enabeld", Code: problem.CodeUnknown, Detail: "is no setting: did you mean enabled?"}, got[3])
	require.Equal(t, "/a~1b~0c", got[4].Pointer)
	require.Equal(t, "/"+strings.Repeat("ä", 30)+"…", got[5].Pointer, "a name of any length is cut off")
	require.Equal(t, problem.FieldError{
		Pointer: "/retry_max_delay", Code: problem.CodeContradicts, Detail: "is 1s; it must be 0 (no cap) or at least the base delay, which is 1m",
	}, got[6])
	require.Len(t, strings.Split(all.Error(), "\n"), 7, "a line for each")
}

// Each name in another letter or case is none.
func TestAFieldIsFoundByItsNameOnly(t *testing.T) {
	t.Parallel()
	for _, f := range Fields() {
		found, err := Find(f.Name)
		require.NoError(t, err)
		require.Equal(t, f.Variable, found.Variable)
		for _, other := range []string{strings.ToUpper(f.Name), f.Variable, f.Name + " ", "", f.Name[1:]} {
			_, err := Find(other)
			require.ErrorContains(t, err, "is no setting: ", other)
			_, ok := FieldOf(other)
			require.False(t, ok, other)
		}
	}
	Fields()[0].Name = "changed"
	require.Equal(t, "enabled", Fields()[0].Name, "a caller gets a list of its own")
}

func TestCursorsOfTheHistory(t *testing.T) {
	t.Parallel()
	for _, c := range []Cursor{{1, "enabled"}, {9223372036854775807, "retry_max_delay"}, {7, ""}} {
		read, err := ParseCursor(c.String())
		require.NoError(t, err)
		require.Equal(t, c, read)
	}
	for _, text := range []string{
		"", ".", "1", "enabled", "0.enabled", "-1.enabled", "1.5.enabled", "x.enabled", "1.Enabled", "1.a b", "1.a'", "1.a\x00", " 1.a",
		"9223372036854775808.a",
	} {
		_, err := ParseCursor(text)
		require.EqualError(t, err, "is no cursor; give the next of an earlier page, or leave it out to begin with the newest", "%q", text)
	}
}

// What the services ask of the settings is what stands in them.
func TestPoliciesCarryTheSettings(t *testing.T) {
	t.Parallel()
	s := Defaults()
	require.Equal(t, domain.RequestPolicy{Enabled: true, ImmediateSync: true, MaxAttempts: 5}, s.RequestPolicy())
	require.Equal(t, domain.RetryPolicy{BaseDelay: time.Minute, AnswerPolicy: domain.AnswerPolicy{MaxRetryAfter: 24 * time.Hour}}, s.RetryPolicy())
	s.Enabled, s.ImmediateSync, s.MaxAttempts = false, false, 9
	require.Equal(t, domain.RequestPolicy{MaxAttempts: 9}, s.RequestPolicy())
	s.BaseDelay, s.MaxDelay, s.Jitter, s.RetryableCodes = time.Second, time.Hour, 0.5, []int{423}
	s.BreakerStatuses, s.MaxRetryAfter = []int{401}, time.Hour
	s.AlreadyBooked = []domain.BookedAnswer{{Status: 409, Code: "DUP"}}
	s.MaxRetryAfter, s.BreakerStatuses = time.Hour, []int{401}
	require.Equal(t, domain.RetryPolicy{
		BaseDelay: time.Second, MaxDelay: time.Hour, Jitter: 0.5,
		AnswerPolicy: domain.AnswerPolicy{
			RetryableCodes: []int{423, 401}, AlreadyBooked: []domain.BookedAnswer{{Status: 409, Code: "DUP"}}, MaxRetryAfter: time.Hour,
		},
	}, s.RetryPolicy())
	require.Equal(t, s, Fixed(s).Current())
}

func TestAScheduleIsInUTC(t *testing.T) {
	t.Parallel()
	s, err := ParseSchedule("30 6 * * *")
	require.NoError(t, err)
	require.Equal(t, time.Date(2024, 3, 31, 6, 30, 0, 0, time.UTC), s.Next(time.Date(2024, 3, 30, 6, 30, 0, 0, time.UTC)), "the clocks' change is none in UTC")
	for text, why := range map[string]string{
		"TZ=Europe/Berlin 30 6 * * *": "a schedule names no time zone; it is in UTC",
		"CRON_TZ=UTC 30 6 * * *":      "a schedule names no time zone; it is in UTC",
		"0 0 30 2 *":                  "the schedule never comes to pass",
	} {
		_, err := ParseSchedule(text)
		require.EqualError(t, err, why)
	}
}
