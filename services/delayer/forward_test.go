package delayer

import (
	"errors"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/txn"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// parked returns a record that came to a tier at noon. An empty due means no header.
func parked(tier int, due string) *kgo.Record {
	r := &kgo.Record{
		Topic: "p." + event.RetryTiers[tier].Topic, Key: []byte("000000042"), Value: []byte("as it was"), Timestamp: noon,
		Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte("1")}},
	}
	if due != "" {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: event.HeaderDue, Value: []byte(due)})
	}
	return r
}

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

func newDelayer(now time.Time) (*Delayer, *testkit.Log) {
	lines := &testkit.Log{}
	return New(Params{
		Kafka: kafka.Config{Prefix: "p."}, LeaseID: "delayer-0", Log: slog.New(slog.NewTextHandler(lines, nil)), Now: func() time.Time { return now },
	}), lines
}

func TestARecordIsReadyAfterItsTiersDelayOrWhenItIsDue(t *testing.T) {
	t.Parallel()
	const delay = 16 * time.Second
	for name, c := range map[string]struct {
		due  string
		want time.Duration // after noon
	}{
		"due long after the tier's delay": {millis(noon.Add(time.Hour)), delay},
		"due with the tier's delay":       {millis(noon.Add(delay)), delay},
		"due before":                      {millis(noon.Add(3 * time.Second)), 3 * time.Second},
		"due already when it came":        {millis(noon.Add(-time.Second)), -time.Second},
		"without a due time":              {"", 0},
		"with an unreadable one":          {"noon", 0},
	} {
		require.Equal(t, c.want, readyAt(kafka.Config{Prefix: "p."}.Event(parked(2, c.due)), delay).Sub(noon), name)
	}
}

func TestForwardChoosesTheLongestTierThatDoesNotPassTheDueTime(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		left  time.Duration // until it is due
		topic string
	}{
		"it is due":             {0, event.TopicDue},
		"it is overdue":         {-time.Hour, event.TopicDue},
		"one second is left":    {time.Second, event.RetryTierFor(noon.Add(time.Second), noon)},
		"a minute is left":      {time.Minute, event.RetryTierFor(noon.Add(time.Minute), noon)},
		"a whole day is left":   {24 * time.Hour, event.RetryTiers[len(event.RetryTiers)-1].Topic},
		"half a second is left": {500 * time.Millisecond, event.RetryTierFor(noon.Add(500*time.Millisecond), noon)},
	} {
		d, lines := newDelayer(noon)
		from := parked(1, millis(noon.Add(c.left)))
		to := d.forward(from, noon)
		require.Equal(t, "p."+c.topic, to.Topic, name)
		require.Equal(t, from.Key, to.Key, name)
		require.Equal(t, from.Value, to.Value, name)
		require.Equal(t, from.Headers, to.Headers, "the due time stays: %s", name)
		require.Empty(t, lines.Lines(), name)
	}
}

func TestARecordWithoutADueTimeBecomesADeadLetter(t *testing.T) {
	t.Parallel()
	d, lines := newDelayer(noon)
	from := parked(1, "")
	to := d.forward(from, noon)
	require.Equal(t, "p."+event.TopicDeadLetter, to.Topic)
	require.Equal(t, from.Value, to.Value)
	require.Contains(t, string(kafka.Header(to, event.HeaderReason)), event.HeaderDue)
	require.Len(t, lines.Lines(), 1)
	require.Contains(t, lines.Lines()[0], "retry without a due time; it goes to the dead letters")
}

// Take must not keep a partition busy: it says when the record is ready.
func TestTakeSaysHowLongARecordStillWaits(t *testing.T) {
	t.Parallel()
	tier := event.RetryTiers[2]
	d, _ := newDelayer(noon.Add(time.Second))
	taken, retryIn := d.Take(&txn.Task{Record: parked(2, millis(noon.Add(time.Hour)))})
	require.False(t, taken)
	require.Equal(t, tier.Delay-time.Second, retryIn)
}

func TestARecordThatIsRefusedBecomesADeadLetterAndThenItsNameAlone(t *testing.T) {
	t.Parallel()
	d, lines := newDelayer(noon)
	task := &txn.Task{Record: parked(1, millis(noon))}
	d.Refused(task, errors.New("MESSAGE_TOO_LARGE"), 1)
	require.Len(t, task.Records(), 1)
	require.Equal(t, "p."+event.TopicDeadLetter, task.Records()[0].Topic)
	require.Equal(t, task.Record.Value, task.Records()[0].Value)
	require.Contains(t, string(kafka.Header(task.Records()[0], event.HeaderReason)), "MESSAGE_TOO_LARGE")

	d.Refused(task, errors.New("MESSAGE_TOO_LARGE"), 2)
	require.Len(t, task.Records(), 1)
	require.Empty(t, task.Records()[0].Value)
	require.Len(t, lines.Lines(), 2)
	require.Contains(t, lines.Lines()[1], "retry cannot be forwarded; it goes to the dead letters")
}
