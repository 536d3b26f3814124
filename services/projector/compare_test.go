package projector

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

func TestDifferencesNameTheColumnAndHideWhatMayBePersonal(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	in := row{SyncID: 7, OrderIncrementID: "1", Source: "default", Status: domain.Success, Attempts: 1, CreatedAt: noon}
	for name, c := range map[string]struct {
		change func(r *row)
		want   []string // column, live, log
	}{
		"nothing":                   {func(*row) {}, nil},
		"another zone":              {func(r *row) { r.CreatedAt = noon.In(time.FixedZone("CET", 3600)) }, nil},
		"a status":                  {func(r *row) { r.Status = domain.Failed }, []string{"status", `"success"`, `"failed"`}},
		"a number":                  {func(r *row) { r.Attempts = 2 }, []string{"attempts", "1", "2"}},
		"a time":                    {func(r *row) { r.CreatedAt = noon.Add(time.Millisecond) }, []string{"created_at", `"2026-01-01T12:00:00Z"`, `"2026-01-01T12:00:00.001Z"`}},
		"null and a time":           {func(r *row) { r.NextAttemptAt = &noon }, []string{"next_attempt_at", "null", `"2026-01-01T12:00:00Z"`}},
		"null and an empty text":    {func(r *row) { r.ErpReference = ptr("") }, []string{"erp_reference", "null", `""`}},
		"the payload of a customer": {func(r *row) { r.Payload = ptr("Zoë") }, []string{"payload", "null", "4 bytes"}},
		"the answer of the ERP":     {func(r *row) { r.Response = ptr("") }, []string{"response", "null", "0 bytes"}},
		"an error with a name":      {func(r *row) { r.LastError = ptr("Zoë is unknown") }, []string{"last_error", "null", "15 bytes"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inLog := in
			c.change(&inLog)
			var got []string
			for _, d := range in.differences(&inLog) {
				require.Equal(t, Difference{Source: "default", OrderIncrementID: "1", SyncID: 7, Column: d.Column, Live: d.Live, Log: d.Log}, d)
				got = append(got, d.Column, d.Live, d.Log)
			}
			require.Equal(t, c.want, got)
		})
	}
}

func TestAVerdictIsEqualOnlyWithoutAnyDifference(t *testing.T) {
	t.Parallel()
	require.True(t, Verdict{Offsets: 9, Rows: 3, Timeline: Lines{Compared: 7}, DeadLetters: Lines{Compared: 1}}.Equal())
	for name, v := range map[string]Verdict{
		"a row differs":             {Differing: 1},
		"a row only in live":        {OnlyInLive: 1},
		"a row only in the log":     {OnlyInLog: 1},
		"a line differs":            {Timeline: Lines{Differing: 1}},
		"a line only in live":       {Timeline: Lines{OnlyInLive: 1}},
		"a line only in the log":    {Timeline: Lines{OnlyInLog: 1}},
		"a dead letter differs":     {DeadLetters: Lines{Differing: 1}},
		"a dead letter only in one": {DeadLetters: Lines{OnlyInLog: 1}},
	} {
		require.False(t, v.Equal(), name)
	}
}

func TestWhichErrorsOfASwapMayPass(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		pass bool
	}{
		{fmt.Errorf("folding: %w", context.DeadlineExceeded), true},
		{fmt.Errorf("locking: %w", &pgconn.PgError{Code: "55P03"}), true},
		{&pgconn.PgError{Code: "40P01"}, true},
		{&pgconn.PgError{Code: "42501"}, false}, // no right to do it
		{context.Canceled, false},
		{errors.New("another"), false},
	} {
		require.Equal(t, c.pass, mayPass(c.err), "%v", c.err)
	}
}

func TestWhichErrorsAreOfTheContent(t *testing.T) {
	t.Parallel()
	for code, refused := range map[string]bool{
		"22003": true, "22021": true, "23505": true, "23514": true, // range, encoding, unique, check
		"23502": false, "40001": false, "53300": false, "57P01": false, "08006": false, // not null, serialization, connections, shutdown, network
	} {
		require.Equal(t, refused, refusesContent(fmt.Errorf("applying: %w", &pgconn.PgError{Code: code})), code)
	}
	require.False(t, refusesContent(nil))
	require.False(t, refusesContent(context.DeadlineExceeded), "a database that is slow refuses nothing")
}

// A fact keeps what the timeline and the row need, and nothing that Postgres cannot hold.
func TestTheFactOfARecord(t *testing.T) {
	t.Parallel()
	s := success(0)[2].Sync
	const answered, booked = `{"erp_reference": "A-1"}`, `{"erp_reference": "B-2"}`
	for name, c := range map[string]struct {
		topic string
		value event.Sync
		want  fact
	}{
		"an answer": {
			event.TopicAfterSend,
			event.Sync{Sync: s, Response: &event.Response{Status: 200, Body: answered}},
			fact{Fact: domain.Fact{Response: ptr(answered)}, httpStatus: ptr(200), reference: ptr("A-1")},
		},
		"an answer whose reference is behind what is kept": {
			event.TopicAfterSend,
			event.Sync{Sync: s, Response: &event.Response{Status: 200, Body: answered, Reference: ptr("C-3")}},
			fact{Fact: domain.Fact{Response: ptr(answered)}, httpStatus: ptr(200), reference: ptr("C-3")},
		},
		"an answer that no column can hold": {
			event.TopicAfterSend,
			event.Sync{Sync: s, Response: &event.Response{Status: 200, Body: "\x00"}},
			fact{Fact: domain.Fact{Response: ptr("\uFFFD")}, httpStatus: ptr(200)},
		},
		"a terminal event names no reference by its answer": {
			event.TopicSuccess,
			event.Sync{Sync: s, Response: &event.Response{Status: 200, Body: booked}},
			fact{Fact: domain.Fact{Response: ptr(booked)}, httpStatus: ptr(200)},
		},
		"the body of a callback is no answer": {
			event.TopicCallback, event.Sync{Sync: s, Response: &event.Response{Body: booked}}, fact{},
		},
		"a request": {
			event.TopicRequested, event.Sync{Sync: s, Warnings: []string{"w"}, NotSent: []string{"n"}}, fact{warnings: []string{"w"}, notSent: []string{"n"}},
		},
		"an intent": {
			event.TopicBeforeSend, event.Sync{Sync: s, Payload: ptr("a\x00b")}, fact{Fact: domain.Fact{Payload: ptr("a\uFFFDb")}},
		},
		"an error": {
			event.TopicFailed, event.Sync{Sync: s, Error: ptr("busy")}, fact{Fact: domain.Fact{Error: ptr("busy")}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec, err := event.NewSync(c.topic, c.value, event.Context{At: began})
			require.NoError(t, err)
			at := kafka.TopicPartition{Topic: c.topic, Partition: 1}
			got, err := read(at, 42, kafka.Config{}.Event(kafka.Config{}.Record(rec)))
			require.NoError(t, err)
			c.want.at, c.want.offset, c.want.Time, c.want.Sync = at, 42, began, got.Sync
			require.Equal(t, s.Version, got.Sync.Version)
			require.Equal(t, c.want, got)
		})
	}
}

func TestARecordWithoutATimeHasNoFact(t *testing.T) {
	t.Parallel()
	rec, err := event.NewSync(event.TopicSuccess, event.Sync{Sync: success(0)[3].Sync}, event.Context{At: began})
	require.NoError(t, err)
	delete(rec.Headers, event.HeaderTime)
	_, err = read(kafka.TopicPartition{Topic: event.TopicSuccess}, 0, kafka.Config{}.Event(kafka.Config{}.Record(rec)))
	require.EqualError(t, err, "header ce_time is missing")
}

// The deadline of a poll is no failure; anything else is, also beside it.
func TestWhichErrorsOfAFetchCount(t *testing.T) {
	t.Parallel()
	fetch := func(errs ...error) kgo.Fetches {
		topic := kgo.FetchTopic{Topic: "t"}
		for i, err := range errs {
			topic.Partitions = append(topic.Partitions, kgo.FetchPartition{Partition: int32(i), Err: err}) //nolint:gosec // a few
		}
		return kgo.Fetches{{Topics: []kgo.FetchTopic{topic}}}
	}
	require.NoError(t, fetchError(fetch(nil)))
	require.NoError(t, fetchError(fetch(context.DeadlineExceeded)))
	require.EqualError(t, fetchError(fetch(context.DeadlineExceeded, errors.New("gone"))), "reading t partition 1: gone")
}
