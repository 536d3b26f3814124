package setting

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/egress"
)

func TestValuesOfEachSetting(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ setting, taken, as string }{
		"false":                          {"enabled", `false`, `false`},
		"an_integer":                     {"retry_max_attempts", `1000`, `1000`},
		"a_duration_in_words":            {"erp_timeout", `"1m30s"`, `"1m30s"`},
		"a_number_of_seconds":            {"erp_timeout", `2.5`, `"2.5s"`},
		"a_number_of_seconds_as_text":    {"retry_base_delay", `"3600"`, `"1h"`},
		"durations_lose_their_zeros":     {"retry_base_delay", `"60s"`, `"1m"`},
		"no_cap":                         {"retry_max_delay", `0`, `"0s"`},
		"no_audit_by_itself":             {"audit_interval", `0`, `"0s"`},
		"an_audit_each_hour":             {"audit_interval", `"60m"`, `"1h"`},
		"a_share":                        {"retry_jitter", `0.25`, `0.25`},
		"statuses_in_order_and_once":     {"retryable_codes", `[423, 409, 409]`, `[409,423]`},
		"no_statuses":                    {"retryable_codes", `[]`, `[]`},
		"answers_in_order_and_once":      {"already_booked", `["422:DUP", "409:B", " 409:A", 409, "409:B"]`, `["409","409:A","409:B","422:DUP"]`},
		"no_answers":                     {"already_booked", `[]`, `[]`},
		"a_disguised_booking":            {"already_booked", `["200:DUP"]`, `["200:DUP"]`},
		"fields_that_mean_a_failure":     {"erp_failure_field", `["success=false", " result.status = not ok "]`, `["success=false","result.status=not ok"]`},
		"no_field_that_means_a_failure":  {"erp_failure_field", `[]`, `[]`},
		"fields_in_their_order":          {"erp_reference_field", `["data.number", "data.id"]`, `["data.number","data.id"]`},
		"a_look-up_by_the_key":           {"erp_lookup", `"/orders?key={idempotency_key}"`, `"/orders?key={idempotency_key}"`},
		"no_look-up":                     {"erp_lookup", `""`, `""`},
		"an_erp_with_a_path":             {"erp_base_url", `"https://erp.example.com:8443/api/"`, `"https://erp.example.com:8443/api/"`},
		"a_schedule_with_names_and_gaps": {"cron_schedule", `" */5  6-22 * JAN MON-FRI "`, `"*/5 6-22 * JAN MON-FRI"`},
		"a_leap_day":                     {"cron_schedule", `"0 0 29 2 *"`, `"0 0 29 2 *"`},
		"a_path":                         {"erp_health_path", `"/v1/up/"`, `"/v1/up/"`},
		"no_path":                        {"erp_health_path", `"none"`, `"none"`},
		"statuses_of_the_erp":            {"erp_breaker_statuses", `[404, 401]`, `[401,404]`},
		"answers_about_one_order":        {"erp_breaker_exceptions", `["500:NO_SKU", 501]`, `["500:NO_SKU","501"]`},
		"half_a_call_a_second":           {"erp_rate", `0.5`, `0.5`},
		"a_day_at_most":                  {"erp_retry_after_max", `86400`, `"24h"`},
		"windows_in_one_form":            {"erp_maintenance", `" 0 2  * * SUN,MON 240m Europe/Berlin ;30 3 * * * 1800 UTC; "`, `"0 2 * * SUN,MON 4h Europe/Berlin; 30 3 * * * 30m UTC"`},
		"no_windows":                     {"erp_working_hours", `"none"`, `"none"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, ok := FieldOf(c.setting)
			require.True(t, ok)
			s := Defaults()
			require.NoError(t, f.Decode(&s, json.RawMessage(c.taken)))
			require.JSONEq(t, c.as, string(f.JSON(s)))
			require.NoError(t, s.Validate())
		})
	}
}

func TestRefusedValues(t *testing.T) {
	t.Parallel()
	const (
		boolean    = "; it must be true or false"
		attempts   = "; it must be a whole number from 1 to 1000"
		timeout    = "; it must be a duration from 100ms to 10m, like 30s, or a number of seconds"
		url        = "; it must be an http or https URL without user, password, query and fragment, like https://erp.example.com/api"
		cron       = "; it must be five fields (minute, hour, day, month, weekday) in UTC that occur, like 0 * * * *"
		answers    = "; it must be HTTP statuses from 200 to 599, each with the `code` of the answer's body, like 409:ALREADY_BOOKED; 409 may stand alone; in JSON a list of texts"
		failures   = "; it must be fields of the answer's JSON with the value that means a failure, like success=false or result.status=error; in JSON a list of texts"
		fields     = "; it must be fields of the answer's JSON, names with dots between them, like data.order.number; in JSON a list of texts"
		lookup     = "; it must be empty, or a path below erp_base_url with {idempotency_key}, or with {order_increment_id} and, if there are several shops, {source}, like /orders?key={idempotency_key}"
		codes      = "; it must be HTTP statuses from 300 to 499, like 409,423; in JSON a list"
		path       = "; it must be a path that begins with a slash, without query and fragment, like /health; or none"
		windows    = "; it must be windows, with a semicolon between two; each is five fields of cron for its begin, a duration from 1m to 168h, and an IANA time zone, like 0 2 * * SUN 4h Europe/Berlin; or none"
		exceptions = "; it must be HTTP statuses from 500 to 599, each with the `code` of the answer's body where it has one, like 500:UNKNOWN_SKU; in JSON a list of texts"
	)
	for name, c := range map[string]struct{ setting, given, detail string }{
		"a_boolean_as_text":          {"enabled", `"true"`, `enabled is "true"` + boolean},
		"a_boolean_as_number":        {"debug", `1`, `debug is 1` + boolean},
		"too_many":                   {"retry_max_attempts", `1001`, `retry_max_attempts is 1001` + attempts},
		"none":                       {"retry_max_attempts", `0`, `retry_max_attempts is 0` + attempts},
		"not_whole":                  {"retry_max_attempts", `5.0`, `retry_max_attempts is 5.0` + attempts},
		"beyond_an_integer":          {"retry_max_attempts", `1e400`, `retry_max_attempts is 1e400` + attempts},
		"an_integer_as_text":         {"retry_max_attempts", `"5"`, `retry_max_attempts is "5"` + attempts},
		"too_short":                  {"erp_timeout", `"99ms"`, `erp_timeout is "99ms"` + timeout},
		"too_long":                   {"erp_timeout", `601`, `erp_timeout is 601` + timeout},
		"no_duration":                {"erp_timeout", `"soon"`, `erp_timeout is "soon"` + timeout},
		"longer_than_time":           {"erp_timeout", `"1e300"`, `erp_timeout is "1e300"` + timeout},
		"not_a_number":               {"erp_timeout", `"NaN"`, `erp_timeout is "NaN"` + timeout},
		"a_duration_in_an_object":    {"erp_timeout", `{"s":1}`, `erp_timeout is {"s":1}` + timeout},
		"more_than_all":              {"retry_jitter", `1.01`, `retry_jitter is 1.01; it must be a number from 0 to 1`},
		"no_scheme":                  {"erp_base_url", `"erp.example.com"`, `erp_base_url is "erp.example.com"` + url},
		"no_erp":                     {"erp_base_url", `""`, `erp_base_url is ""` + url},
		"a_query":                    {"erp_base_url", `"http://erp?a=b"`, `erp_base_url is "http://erp?a=b"` + url},
		"a_password_is_a_secret":     {"erp_base_url", `"http://me:secret@erp/"`, `erp_base_url is "http://****@erp/"` + url},
		"stars_in_its_place":         {"erp_base_url", `"http://****@erp/"`, `erp_base_url is "http://****@erp/"` + url},
		"six_fields":                 {"cron_schedule", `"0 0 * * * *"`, `cron_schedule is "0 0 * * * *"` + cron},
		"a_word":                     {"cron_schedule", `"@hourly"`, `cron_schedule is "@hourly"` + cron},
		"a_time_zone":                {"cron_schedule", `"TZ=Europe/Berlin 0 * * * *"`, `cron_schedule is "TZ=Europe/Berlin 0 * * * *"` + cron},
		"a_time_zone_and_no_more":    {"cron_schedule", `"CRON_TZ=UTC"`, `cron_schedule is "CRON_TZ=UTC"` + cron},
		"a_day_that_never_comes":     {"cron_schedule", `"0 0 31 2 *"`, `cron_schedule is "0 0 31 2 *"` + cron},
		"a_status_that_is_a_success": {"retryable_codes", `[200, 409]`, `retryable_codes is [200, 409]` + codes},
		"statuses_as_text":           {"retryable_codes", `"409"`, `retryable_codes is "409"` + codes},
		"a_list_of_texts":            {"retryable_codes", `["409"]`, `retryable_codes is ["409"]` + codes},
		"an_interim_answer":          {"already_booked", `["100:OK"]`, `already_booked is ["100:OK"]` + answers},
		"any_success":                {"already_booked", `["200"]`, `already_booked is ["200"]` + answers},
		"a_failure_without_a_value":  {"erp_failure_field", `["success"]`, `erp_failure_field is ["success"]` + failures},
		"a_failure_of_nothing":       {"erp_failure_field", `["success="]`, `erp_failure_field is ["success="]` + failures},
		"a_failure_without_a_field":  {"erp_failure_field", `["=false"]`, `erp_failure_field is ["=false"]` + failures},
		"too_deep_a_field":           {"erp_reference_field", `["a.b.c.d.e"]`, `erp_reference_field is ["a.b.c.d.e"]` + fields},
		"a_field_without_a_name":     {"erp_reference_field", `["a..b"]`, `erp_reference_field is ["a..b"]` + fields},
		"a_field_as_JSONPath":        {"erp_reference_field", `["a[0].b"]`, `erp_reference_field is ["a[0].b"]` + fields},
		"a_status_without_a_code":    {"already_booked", `["404"]`, `already_booked is ["404"]` + answers},
		"a_code_without_a_status":    {"already_booked", `[":DUP"]`, `already_booked is [":DUP"]` + answers},
		"an_empty_code":              {"already_booked", `["409:"]`, `already_booked is ["409:"]` + answers},
		"an_empty_text":              {"already_booked", `["409", " "]`, `already_booked is ["409", " "]` + answers}, // it was left out without a word
		"a_code_with_a_comma":        {"already_booked", `["409:A,B"]`, `already_booked is ["409:A,B"]` + answers},
		"answers_as_text":            {"already_booked", `"409"`, `already_booked is "409"` + answers},
		"a_list_in_a_list":           {"already_booked", `[["409"]]`, `already_booked is [["409"]]` + answers},
		"a_look-up_elsewhere":        {"erp_lookup", `"https://erp/{idempotency_key}"`, `erp_lookup is "https://erp/{idempotency_key}"` + lookup},
		"a_look-up_of_no_order":      {"erp_lookup", `"/orders"`, `erp_lookup is "/orders"` + lookup},
		"a_path_without_a_slash":     {"erp_health_path", `"health"`, `erp_health_path is "health"` + path},
		"a_path_with_a_query":        {"erp_health_path", `"/health?a=b"`, `erp_health_path is "/health?a=b"` + path},
		"a_path_to_another_host":     {"erp_health_path", `"//evil.example/"`, `erp_health_path is "//evil.example/"` + path},
		"no_text_is_not_none":        {"erp_health_path", `""`, `erp_health_path is ""` + path},
		"a_4xx_about_one_order":      {"erp_breaker_exceptions", `["422"]`, `erp_breaker_exceptions is ["422"]` + exceptions},
		"an_audit_each_minute":       {"audit_interval", `"1m"`, `audit_interval is "1m"; it must be 0, or a duration from 1h to 720h, like 24h, or a number of seconds`},
		"an_audit_in_a_year":         {"audit_interval", `"721h"`, `audit_interval is "721h"; it must be 0, or a duration from 1h to 720h, like 24h, or a number of seconds`},
		"no_calls":                   {"erp_max_in_flight", `0`, `erp_max_in_flight is 0; it must be a whole number from 1 to 10000`},
		"no_failures":                {"erp_breaker_failure_rate", `0`, `erp_breaker_failure_rate is 0; it must be a number from 0.05 to 1`},
		"a_window_without_a_zone":    {"erp_maintenance", `"0 2 * * SUN 4h"`, `erp_maintenance is "0 2 * * SUN 4h"` + windows},
		"a_zone_that_is_none":        {"erp_maintenance", `"0 2 * * SUN 4h Berlin"`, `erp_maintenance is "0 2 * * SUN 4h Berlin"` + windows},
		"the_zone_of_the_machine":    {"erp_maintenance", `"0 2 * * SUN 4h Local"`, `erp_maintenance is "0 2 * * SUN 4h Local"` + windows},
		"a_window_too_long":          {"erp_maintenance", `"0 2 * * SUN 169h UTC"`, `erp_maintenance is "0 2 * * SUN 169h UTC"` + windows},
		"a_window_of_seconds":        {"erp_maintenance", `"0 2 * * SUN 59s UTC"`, `erp_maintenance is "0 2 * * SUN 59s UTC"` + windows},
		"a_day_without_a_window":     {"erp_working_hours", `"0 0 31 2 * 4h UTC"`, `erp_working_hours is "0 0 31 2 * 4h UTC"` + windows},
		"no_window":                  {"erp_working_hours", `";"`, `erp_working_hours is ";"` + windows},
		"null":                       {"cron_batch", `null`, `cron_batch is null; it must be a whole number from 0 to 10000`},
		"no_json":                    {"cron_batch", `5 6`, `cron_batch is 5 6; it must be a whole number from 0 to 10000`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, ok := FieldOf(c.setting)
			require.True(t, ok)
			s := Defaults()
			require.EqualError(t, f.Decode(&s, json.RawMessage(c.given)), c.detail)
			require.Equal(t, Defaults(), s)
		})
	}
}

func TestEachFieldIsOneOfSettings(t *testing.T) {
	t.Parallel()
	require.NoError(t, Defaults().Validate())
	other := Settings{
		Enabled: false, ImmediateSync: false, Debug: true, RefuseBadTotals: true, ErpBaseURL: "http://erp", ErpTimeout: time.Second,
		MaxAttempts: 1, BaseDelay: time.Second, MaxDelay: time.Hour, GiveUpAfter: time.Hour, Jitter: 0.5, RetryableCodes: []int{409},
		AlreadyBooked: []domain.BookedAnswer{{Status: 409}}, ErpLookup: "/{idempotency_key}",
		FailureFields: []domain.FailureField{{Field: "success", Value: "false"}}, ReferenceFields: []domain.AnswerField{"data.id"}, RetryPages: true,
		CronEnabled: false, CronSchedule: "1 * * * *", CronBatch: 1, MaxRetryAfter: time.Hour,
		EventRetention: 400 * 24 * time.Hour, TimelineRetention: 90 * 24 * time.Hour,
		AdminTokenLifetime: time.Hour, BulkCanary: 3, AuditInterval: 24 * time.Hour,
		Pace: Pace{
			Breaker: false, BreakerRate: 0.25, BreakerCalls: 20, BreakerOrders: 6, BreakerStatuses: []int{401}, HealthPath: "/up",
			BreakerExceptions: []domain.BookedAnswer{{Status: 500, Code: "NO_SKU"}}, MaxInFlight: 8, Rate: 50, RetryWeight: 2,
			Maintenance: "0 2 * * SUN 4h Europe/Berlin", WorkingHours: "0 8 * * MON-FRI 10h UTC; 0 9 * * SAT 3h UTC",
		},
		Alerts: Alerts{AlertInterval: time.Minute, AlertBacklogAge: 0, AlertRetention: 24 * time.Hour, AlertAllowHTTP: true},
	}
	names, variables := map[string]bool{}, map[string]bool{}
	got := Defaults()
	for _, f := range Fields() {
		names[f.Name], variables[f.Variable] = true, true
		require.NotEqual(t, f.Text(Defaults()), f.Text(other), f.Name)
		require.NoError(t, f.Decode(&got, f.JSON(other)), f.Name)
		f.copy(&got, Defaults())
		require.NoError(t, f.Parse(&got, f.Text(other)), f.Name)
		require.NotEmpty(t, f.Meaning+f.Allowed+string(f.Type), f.Name)
	}
	require.Equal(t, other, got, "a field of Settings is no setting")
	require.Len(t, names, len(fields))
	require.Len(t, variables, len(fields))
}

func TestWhatDoesNotGoTogether(t *testing.T) {
	t.Parallel()
	s := Defaults()
	s.MaxDelay, s.MaxAttempts = time.Second, 0
	require.EqualError(t, s.Validate(), "retry_max_attempts is 0; it must be a whole number from 1 to 1000\n"+
		"retry_max_delay is 1s; it must be 0 (no cap) or at least the base delay, which is 1m")
}

func TestResolve(t *testing.T) {
	t.Parallel()
	environment := Defaults()
	environment.MaxDelay = 10 * time.Minute
	for name, c := range map[string]struct {
		rows   map[string]string
		change func(*Settings)
		unused string
	}{
		"no_rows": {change: func(*Settings) {}},
		"rows_win": {
			rows:   map[string]string{"enabled": `false`, "erp_timeout": `"5s"`},
			change: func(s *Settings) { s.Enabled, s.ErpTimeout = false, 5*time.Second },
		},
		"what_cannot_be_read_is_the_environments": {
			rows:   map[string]string{"cron_batch": `"many"`, "debug": `true`},
			change: func(s *Settings) { s.Debug = true },
			unused: `cron_batch is "many"; it must be a whole number from 0 to 10000`,
		},
		"a_newer_programs_setting_is_passed_over": {
			rows: map[string]string{"warp": `9`}, change: func(*Settings) {},
		},
		"a_cap_below_the_environments_base": {
			rows: map[string]string{"retry_max_delay": `"30s"`}, change: func(*Settings) {},
			unused: "retry_max_delay is 30s; it must be 0 (no cap) or at least the base delay, which is 1m",
		},
		"a_base_above_the_environments_cap": {
			rows: map[string]string{"retry_base_delay": `"1h"`}, change: func(*Settings) {},
			unused: "retry_base_delay is 1h, with which retry_max_delay is 10m; it must be 0 (no cap) or at least the base delay, which is 1h",
		},
		"more_orders_than_calls": {
			rows: map[string]string{"erp_breaker_min_calls": `8`, "erp_breaker_min_orders": `9`}, change: func(s *Settings) { s.BreakerCalls = 8 },
			unused: "erp_breaker_min_orders is 9; it must be at most the fewest calls that the breaker judges, which are 8",
		},
		"fewer_calls_than_the_environments_orders": {
			rows: map[string]string{"erp_breaker_min_calls": `4`}, change: func(*Settings) {},
			unused: "erp_breaker_min_calls is 4, with which erp_breaker_min_orders is 5; it must be at most the fewest calls that the breaker judges, which are 4",
		},
		"windows_that_leave_no_time": {
			rows: map[string]string{"erp_maintenance": `"0 * * * * 1h UTC"`}, change: func(*Settings) {},
			unused: "erp_maintenance is 0 * * * * 1h UTC; it must leave a time in which orders can be sent",
		},
		"working_hours_within_maintenance": {
			rows:   map[string]string{"erp_maintenance": `"0 8 * * * 4h UTC"`, "erp_working_hours": `"0 9 * * * 1h UTC"`},
			change: func(s *Settings) { s.WorkingHours = "0 9 * * * 1h UTC" },
			unused: "erp_maintenance is 0 8 * * * 4h UTC beside working hours of 0 9 * * * 1h UTC; it must leave a time in which orders can be sent",
		},
		"both_changed_and_at_odds": {
			rows: map[string]string{"retry_base_delay": `"2m"`, "retry_max_delay": `"1m"`}, change: func(s *Settings) { s.BaseDelay = 2 * time.Minute },
			unused: "retry_max_delay is 1m; it must be 0 (no cap) or at least the base delay, which is 2m",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := environment
			c.change(&want)
			got, unused := Resolve(environment, rowsOf(c.rows))
			require.Equal(t, want, got)
			require.Equal(t, c.unused, unused.Error())
		})
	}
}

func rowsOf(values map[string]string) (rows []Row) {
	for name, value := range values {
		rows = append(rows, Row{Name: name, Value: json.RawMessage(value)})
	}
	return rows
}

// Whatever stands in the table, what is in force is valid.
func TestResolvedIsValid(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		environment := Defaults()
		if rapid.Bool().Draw(t, "cap") {
			environment.MaxDelay = time.Hour
		}
		rows := map[string]string{}
		for range rapid.IntRange(0, 20).Draw(t, "rows") {
			rows[anyName.Draw(t, "name")] = anyValue.Draw(t, "value")
		}
		got, _ := Resolve(environment, rowsOf(rows))
		require.NoError(t, got.Validate())
	})
}

var (
	anyName = rapid.Custom(func(t *rapid.T) string {
		return fields[rapid.IntRange(0, len(fields)-1).Draw(t, "field")].Name
	})
	anyValue = rapid.SampledFrom([]string{
		`true`, `false`, `null`, `0`, `1`, `5`, `0.5`, `-1`, `1000`, `"30s"`, `"1ms"`, `"2m"`, `"24h"`, `""`, `"soon"`, `[]`, `[409]`, `[200]`, `{}`,
		`"http://erp"`, `"http://u:p@erp"`, `"0 * * * *"`, `"@daily"`, `"none"`, `"/up"`, `"0 * * * * 1h UTC"`, `"0 2 * * * 4h Europe/Berlin"`,
	})
)

func FuzzParse(f *testing.F) {
	for _, s := range []string{"0 * * * *", "TZ=", "CRON_TZ= ", "30s", "409,423", "http://[::1", "*/0 * * * *", "NaN", "0 0 */-1 * *", "0 2 * * SUN 4h Europe/Berlin; 0 3 * * * 1m UTC", "none", "/up"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, field := range fields {
			s := Defaults()
			if field.Parse(&s, text) != nil {
				require.Equal(t, Defaults(), s)
				continue
			}
			require.NoError(t, s.problemsOf(field.Name))
			again := Defaults()
			if !field.secret(s) {
				require.NoError(t, field.Decode(&again, field.JSON(s)))
				require.Equal(t, s, again, "%s %q", field.Name, text)
			}
		}
	})
}

func (s Settings) problemsOf(name string) error {
	for _, p := range s.problems() {
		if p.Name == name && p.with == "" {
			return p
		}
	}
	return nil
}

// http://169.254.169.254/latest was taken as the ERP: orders would have gone to the metadata service of the cloud.
func TestAddressesThatNoErpHasAreRefused(t *testing.T) {
	t.Parallel()
	s := Defaults()
	s.ErpBaseURL = "http://user:pass@169.254.169.254/latest"
	require.EqualError(t, s.Validate(), "erp_base_url is http://****@169.254.169.254/latest: 169.254.169.254 is the metadata service of a cloud, "+
		"which is never called; if this must be, name its network in ERP_ALLOWED_NETWORKS")
	for address, ok := range map[string]bool{
		"http://127.0.0.1:8080/api": true, "http://10.0.0.1": true, "http://[fd00::1]/": true, "https://erp.example.com": true, "": true,
		"http://[::ffff:a9fe:a9fe]/": false, "http://0.0.0.0:8080": false, "http://[64:ff9b::a9fe:101]": false, "http://224.0.0.1": false, "http://:8080": false,
	} {
		s.ErpBaseURL = address
		require.Equal(t, ok, s.Validate() == nil, address)
	}
	environment := Defaults()
	environment.ErpBaseURL = "https://erp.example.com"
	rows := []Row{{Name: "erp_base_url", Value: json.RawMessage(`"http://169.254.10.7/"`)}}
	in, unused := Resolve(environment, rows)
	require.Equal(t, environment.ErpBaseURL, in.ErpBaseURL, "a row of before the rule is not used")
	require.Len(t, unused, 1)
	allowed, err := egress.ParseNetworks("169.254.10.0/24")
	require.NoError(t, err)
	environment.Egress.Allowed = allowed
	in, unused = Resolve(environment, rows)
	require.Empty(t, unused)
	require.Equal(t, "http://169.254.10.7/", in.ErpBaseURL)
}
