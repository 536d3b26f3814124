package cli

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/services/erpconnector/internal/replay"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/logreader"
)

func TestReplayRefusesWhatItCannotDo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, want string }{
		{"", "name an order"},
		{"--order 1 --from 2024-01-15", "name an order"},
		{"--order 1 --resume file", "go with --from"},
		{"--order 1 --to-time 2024-01-15", "go with --from"},
		{"--order 1 --topics " + event.TopicSuccess, "go with --from"},
		{"--order 1 --source A", `source "A" must be`},
		{"--from 2024-01-15 --source outlet", "--source goes with --order: a range holds the records of all shops"},
		{"--from yesterday", `--from "yesterday" is no time`},
		{"--from yesterday --to-time now", `--to-time "now" is no time`},
		{"--from 2024-01-15T10:00:00", `--from "2024-01-15T10:00:00" is no time`}, // of which zone?
		{"--from 2024-01-15 --topics a", `"a" is no topic of the log`},
		{"--from 2024-01-15 --topics=", "no topic is named"},
		{"--from 2024-01-15 --to-time 2024-01-15", "is not after its start"},
		{"--from 2024-01-15", "KAFKA_BROKERS is not set"},
	} {
		p := invoke(t, nil, append([]string{"replay"}, strings.Fields(c.args)...)...)
		require.ErrorContains(t, p.err, c.want, c.args)
		require.Equal(t, 1, p.code())
		require.Empty(t, p.out)
	}
}

func TestParseTime(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Time{
		"2024-01-15":                     time.Date(2024, 1, 15, 0, 0, 0, 0, time.UTC),
		"2024-01-15T10:30:00Z":           time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC),
		"2024-01-15T10:30:00.123456789Z": time.Date(2024, 1, 15, 10, 30, 0, 123456789, time.UTC),
		"2024-01-15T10:30:00+05:30":      time.Date(2024, 1, 15, 5, 0, 0, 0, time.UTC),
		"2024-02-29":                     time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC),
	} {
		got, err := parseTime("--from", text)
		require.NoError(t, err)
		require.True(t, want.Equal(got), "%s: %s", text, got)
	}
	for _, text := range []string{"", "now", "2023-02-29", "15.01.2024", "2024-01-15 10:30:00", "2024-01-15T25:00:00Z", "1705314600", "2024-01-15T10:30Z"} {
		_, err := parseTime("--to-time", text)
		require.EqualError(t, err, `--to-time "`+text+`" is no time: write 2024-01-15T10:00:00Z, or 2024-01-15 (UTC)`)
	}
}

// Positions that an earlier replay has left are gone on from, without a word to the brokers.
func TestWhereAReplayBegins(t *testing.T) {
	t.Parallel()
	nowhere := kafka.Config{Brokers: []string{"127.0.0.1:1"}}
	r := replay.Range{From: time.Date(2024, 1, 15, 0, 0, 0, 0, time.UTC), Topics: []string{event.TopicSuccess}}
	file := filepath.Join(t.TempDir(), "positions.json")
	kept := &replay.Progress{Range: r, Target: "warehouse", Spans: []*logreader.Span{{Topic: event.TopicSuccess, First: 1, Next: 2, End: 3}}}
	require.NoError(t, kept.Save(file))
	got, err := progressOf(t.Context(), nowhere, r, replayFlags{resume: file, to: "warehouse"})
	require.NoError(t, err)
	require.Equal(t, kept, got)
	_, err = progressOf(t.Context(), nowhere, r, replayFlags{resume: file})
	require.ErrorContains(t, err, "--resume "+file+": it holds the positions of another replay")
	require.NoError(t, os.WriteFile(file, []byte("{"), 0o600))
	_, err = progressOf(t.Context(), nowhere, r, replayFlags{resume: file})
	require.ErrorContains(t, err, "--resume "+file+": "+file+" holds no positions of a replay (")
}

// What was printed to a file is on the disk before the positions say that it was printed; what else it was printed to has no disk.
func TestOnDisk(t *testing.T) {
	t.Parallel()
	require.NoError(t, onDisk(&bytes.Buffer{}))
	file, err := os.Create(filepath.Join(t.TempDir(), "out")) //nolint:gosec // a test
	require.NoError(t, err)
	require.NoError(t, onDisk(file))
	require.NoError(t, file.Close())
	require.Error(t, onDisk(file), "a file that is not there any more holds nothing")
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	defer func() { _ = reader.Close() }()
	defer func() { _ = writer.Close() }()
	require.NoError(t, onDisk(writer))
}

// refusing is a sink that takes so many batches.
type refusing struct{ batches int }

// Take counts.
func (r *refusing) Take(context.Context, []*kgo.Record) error {
	if r.batches--; r.batches < 0 {
		return io.ErrClosedPipe
	}
	return nil
}

// The operator is told of the records that came through, and of no others.
func TestRecordsThatCameThroughAreCounted(t *testing.T) {
	t.Parallel()
	c := &counting{Sink: &refusing{batches: 2}}
	require.NoError(t, c.Take(t.Context(), make([]*kgo.Record, 3)))
	require.NoError(t, c.Take(t.Context(), nil))
	require.ErrorIs(t, c.Take(t.Context(), make([]*kgo.Record, 5)), io.ErrClosedPipe)
	require.Equal(t, 3, c.records)
}

// A pipe or a file gets JSON, whatever is said.
func TestWhatAPipeGets(t *testing.T) {
	t.Parallel()
	for _, asJSON := range []bool{true, false} {
		var out bytes.Buffer
		require.NoError(t, printer(kafka.Config{}, &out, asJSON).Take(t.Context(), []*kgo.Record{{Topic: "t", Timestamp: time.UnixMilli(0)}}))
		require.JSONEq(t, `{"topic":"t","partition":0,"offset":0,"time":"1970-01-01T00:00:00.000Z","key":"","headers":{}}`, out.String())
	}
	require.False(t, onTerminal(&bytes.Buffer{}))
	file, err := os.Create(filepath.Join(t.TempDir(), "out")) //nolint:gosec // a test
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	require.False(t, onTerminal(file))
}

func TestTheBrokersOfAReplay(t *testing.T) {
	t.Parallel()
	_, err := kafkaOf(config.Config{})
	require.EqualError(t, err, "KAFKA_BROKERS is not set: name the brokers")
	got, err := kafkaOf(config.Config{KafkaBrokers: []string{"a:1"}, TopicPrefix: "p."})
	require.NoError(t, err)
	require.Equal(t, []any{[]string{"a:1"}, "p."}, []any{got.Brokers, got.Prefix})
}
