package event_test

import (
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

var written = time.Date(2024, 1, 15, 12, 0, 0, 1_999_999, time.UTC)

// parked is a retry of order b2b/1 as its consumers read it. headers change those it was written with; an empty one is taken out.
func parked(t *testing.T, headers map[string]string) event.View {
	t.Helper()
	s := domain.Sync{
		SyncID: 1, Source: "b2b", OrderIncrementID: "1", Status: domain.Queued, Generation: 1, Attempts: 1,
		Version: domain.AttemptVersion(1, 1, domain.PhaseAfter),
	}
	r, err := event.NewRetry(event.Sync{Sync: s, Warnings: []string{"w"}}, accepted.Add(time.Minute), event.Context{At: accepted, Traceparent: parentTrace})
	require.NoError(t, err)
	all := maps.Clone(r.Headers)
	all[event.HeaderUUID] = r.UUID
	for name, value := range headers {
		all[name] = value
		if value == "" {
			delete(all, name)
		}
	}
	return event.View{Topic: r.Topic, Key: []byte(r.Key), Value: r.Value, Headers: event.Metadata(all), Timestamp: written}
}

func TestAViewReadsWhatARecordWasWrittenWith(t *testing.T) {
	t.Parallel()
	v := parked(t, nil)
	version := domain.AttemptVersion(1, 1, domain.PhaseAfter)
	require.Equal(t, event.ID("b2b/1", version, event.TypeRetry), v.ID())
	require.Equal(t, event.TypeRetry, v.Type())
	require.Equal(t, event.SourceConnector, v.Source())
	require.Equal(t, event.MessageUUID(v.ID()), v.UUID())
	require.Equal(t, parentTrace[:36], v.Traceparent()[:36])
	at, err := v.Time()
	require.NoError(t, err)
	require.Equal(t, domain.NormalizeTime(accepted), at)
	require.Equal(t, domain.NormalizeTime(accepted), v.OccurredAt())
	due, err := v.Due()
	require.NoError(t, err)
	require.Equal(t, domain.NormalizeTime(accepted.Add(time.Minute)), due)
	got, ok := v.Version()
	require.True(t, ok)
	require.Equal(t, version, got)
	value, err := v.Sync()
	require.NoError(t, err)
	require.Equal(t, []string{"w"}, value.Warnings)
	only, err := v.SyncOnly()
	require.NoError(t, err)
	require.Equal(t, value.Sync, only)
}

func TestAViewSaysWhatIsMissingOrUnreadable(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		headers map[string]string
		time    string
		due     string
	}{
		"nothing":                  {map[string]string{event.HeaderTime: "", event.HeaderDue: ""}, "header ce_time is missing", "header due is missing"},
		"text":                     {map[string]string{event.HeaderTime: "noon", event.HeaderDue: "soon"}, `header ce_time: parsing time "noon"`, `header due: strconv.ParseInt: parsing "soon": invalid syntax`},
		"a date without a time":    {map[string]string{event.HeaderTime: "2024-01-15", event.HeaderDue: "2024-01-15"}, "header ce_time: parsing time", "header due: strconv.ParseInt"},
		"more than 64 bits":        {map[string]string{event.HeaderTime: "9223372036854775808", event.HeaderDue: "9223372036854775808"}, "header ce_time: ", "value out of range"},
		"a time that has no place": {map[string]string{event.HeaderTime: "2024-01-15T10:30:00", event.HeaderDue: "1.5"}, "header ce_time: ", `parsing "1.5"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := parked(t, c.headers)
			at, err := v.Time()
			require.ErrorContains(t, err, c.time)
			require.Zero(t, at)
			due, err := v.Due()
			require.ErrorContains(t, err, c.due)
			require.Zero(t, due)
			require.Equal(t, domain.NormalizeTime(written), v.OccurredAt(), "without a time of its own the log's counts")
		})
	}
}

func TestTheVersionIsThatOfTheRecordsOwnFact(t *testing.T) {
	t.Parallel()
	id := parked(t, nil).ID()
	for name, headers := range map[string]map[string]string{
		"no id":            {event.HeaderID: ""},
		"no type":          {event.HeaderType: ""},
		"another type":     {event.HeaderType: event.TopicSuccess},
		"another order":    {event.HeaderID: "b2b/2" + id[len("b2b/1"):]},
		"a note":           {event.HeaderID: id + "/0123456789abcdef"},
		"a signed version": {event.HeaderID: "b2b/1/+1/" + event.TypeRetry},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, ok := parked(t, headers).Version()
			require.False(t, ok, "%s", v)
		})
	}
}

// What goes with a sync is nearly all of a record: who wants the sync alone does not read it, so it may be anything.
func TestSyncOnlyReadsNoFurther(t *testing.T) {
	t.Parallel()
	const head = `{"sync":{"sync_id":7,"source":"default","order_increment_id":"1","status":"queued","generation":1,"version":268435456}`
	for name, c := range map[string]struct{ value, want string }{
		"the payload is torn":         {head + `,"payload":"`, ""},
		"the sync comes last":         {`{"payload":"x",` + head[1:] + `}`, ""},
		"last, and the rest is torn":  {`{"payload":"x",` + head[1:], "decoding the record's value: unexpected end of JSON input"},
		"no JSON":                     {`order`, "decoding the record's value: invalid character"},
		"nothing":                     {``, "decoding the record's value: EOF"},
		"the sync is torn":            {head[:60], "decoding the record's value: unexpected EOF"},
		"the sync is that of no sync": {`{"sync":{"generation":1}}`, "sync.sync_id must be positive"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := event.DecodeSyncOnly([]byte(c.value))
			if c.want != "" {
				require.ErrorContains(t, err, c.want)
				require.Zero(t, s)
				return
			}
			require.NoError(t, err)
			require.EqualValues(t, 7, s.SyncID)
		})
	}
}
