package e2e

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/services/erpconnector/internal/cli"
	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// replayed is one line of the command's output.
type replayed struct {
	Topic     string
	Partition int32
	Offset    int64
	Time      time.Time
	Key       string
	Headers   map[string]string
	Value     struct {
		Sync struct {
			Status   string
			Attempts int
		}
	}
}

// replay runs the command on the product's servers.
func (p *product) replay(args ...string) (string, error) {
	p.t.Helper()
	var out bytes.Buffer
	cmd := cli.Root()
	cmd.SetArgs(append([]string{"replay"}, args...))
	cmd.SetOut(&out)
	environment := map[string]string{
		"DATABASE_URL": p.cfg.DatabaseURL, "KAFKA_BROKERS": strings.Join(p.cfg.KafkaBrokers, ","), "KAFKA_TOPIC_PREFIX": p.cfg.TopicPrefix,
	}
	err := cmd.ExecuteContext(withEnvironment(p.t.Context(), environment))
	return out.String(), err
}

// replaying is what the command printed.
func (p *product) replaying(args ...string) (records []replayed, err error) {
	p.t.Helper()
	out, err := p.replay(args...)
	for line := range strings.Lines(out) {
		var r replayed
		require.NoError(p.t, json.Unmarshal([]byte(line), &r), "%s", line)
		records = append(records, r)
	}
	return records, err
}

// timeline waits until the order's timeline has so many facts.
func (p *product) timeline(order string, facts int) (events []any) {
	p.t.Helper()
	testkit.Eventually(p.t, func() bool {
		_, body := p.do("GET", httpapi.BasePath+"/timeline/"+order, nil)
		events, _ = body["events"].([]any)
		return len(events) >= facts
	}, "the timeline of order %s has %d facts", order, len(events))
	return events
}

func TestReplayOfAnOrder(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, brokers kafka.Config) {
		p := start(t, configured(t, brokers))
		p.fail(mockerp.Fault{Order: "1", Status: 503, Times: 1})
		p.publish([]any{invoice("e1", "1"), invoice("e2", "2"), invoice("e3", "3")})
		for _, order := range []string{"1", "2", "3"} {
			p.becomes(order, ended("success"))
		}
		events := p.timeline("1", 6)

		records, err := p.replaying("--order", "1")
		require.NoError(t, err)
		var types, statuses []string
		for i, r := range records {
			require.Equal(t, "1", r.Key)
			require.Equal(t, "1", r.Headers[event.HeaderSubject])
			at := events[i].(map[string]any) //nolint:forcetypeassert // a test
			require.Equal(t, []any{r.Topic, float64(r.Partition), float64(r.Offset)}, []any{at["topic"], at["partition"], at["offset"]})
			types, statuses = append(types, r.Headers[event.HeaderType]), append(statuses, r.Value.Sync.Status)
		}
		require.Equal(t, []string{
			event.TopicRequested, event.TopicBeforeSend, event.TopicAfterSend, event.TopicBeforeSend, event.TopicAfterSend, event.TopicSuccess,
		}, types)
		require.Equal(t, []string{"queued", "in_progress", "queued", "in_progress", "in_progress", "success"}, statuses)

		_, err = p.replaying("--order", "4")
		require.ErrorContains(t, err, "order 4 of default: no sync of the order was ever requested; --source names another shop")
		p.namesALostRecord()
	})
}

// namesALostRecord has the timeline name a record that the log does not hold, and then one of another order, as it may when
// a topic was made anew: it is told, nothing waits for it, and no other order's data comes.
func (p *product) namesALostRecord() {
	p.t.Helper()
	conn, err := pgx.Connect(p.t.Context(), p.cfg.DatabaseURL)
	require.NoError(p.t, err)
	defer func() { _ = conn.Close(p.t.Context()) }()
	p.timeline("2", 4)
	_, err = conn.Exec(p.t.Context(), `UPDATE vendor_erp_sync_event e SET "offset" = 1000000 FROM vendor_erp_sync v
		WHERE v.sync_id = e.sync_id AND v.order_increment_id = '2' AND topic = $1`, event.TopicSuccess)
	require.NoError(p.t, err)
	records, err := p.replaying("--order", "2")
	require.ErrorContains(p.t, err, "offset 1000000, where the log does not hold a record of order 2")
	require.Len(p.t, records, 3, "those before it")

	p.timeline("3", 4)
	_, err = conn.Exec(p.t.Context(), `WITH other AS (DELETE FROM vendor_erp_sync_event e USING vendor_erp_sync v
			WHERE v.sync_id = e.sync_id AND v.order_increment_id = '3' AND topic = $1 RETURNING e.partition, e."offset")
		UPDATE vendor_erp_sync_event e SET partition = other.partition, "offset" = other."offset" FROM vendor_erp_sync v, other
		WHERE v.sync_id = e.sync_id AND v.order_increment_id = '2' AND topic = $1`, event.TopicSuccess)
	require.NoError(p.t, err)
	records, err = p.replaying("--order", "2")
	require.ErrorContains(p.t, err, "where the log does not hold a record of order 2")
	require.Len(p.t, records, 3, "those before it")
}

// A range is printed, and published for a subscriber.
func TestReplayOfARange(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, brokers kafka.Config) {
		p := start(t, configured(t, brokers))
		began := time.Now().UTC().Add(-time.Minute).Format(time.RFC3339)
		p.publish([]any{invoice("e1", "1"), invoice("e2", "2")})
		for _, order := range []string{"1", "2"} {
			p.becomes(order, ended("success"))
			p.timeline(order, 4)
		}
		records, err := p.replaying("--from", began)
		require.NoError(t, err)
		byTopic := map[string]int{}
		last := map[string]int64{}
		for _, r := range records {
			byTopic[r.Topic]++
			at := r.Topic + "/" + strconv.Itoa(int(r.Partition))
			require.Greater(t, r.Offset+1, last[at], "in the order of the offsets")
			last[at] = r.Offset + 1
		}
		require.Equal(t, map[string]int{
			event.TopicSalesOrder: 2, event.TopicRequested: 2, event.TopicBeforeSend: 2, event.TopicAfterSend: 2, event.TopicSuccess: 2,
		}, byTopic)
		records, err = p.replaying("--from", "2024-01-15", "--to-time", began)
		require.NoError(t, err)
		require.Empty(t, records)

		p.republish(began)
	})
}

// republish publishes what succeeded, twice with the same positions: the second run has nothing left.
func (p *product) republish(began string) {
	p.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(p.cfg.KafkaBrokers...))
	require.NoError(p.t, err)
	defer client.Close()
	target := testkit.CreateTopic(p.t, client, 2, nil, p.cfg.TopicPrefix+"warehouse")
	positions := filepath.Join(p.t.TempDir(), "positions.json")
	args := []string{"--from", began, "--topics", event.TopicSuccess, "--to", target, "--resume", positions}
	for _, want := range []string{"2 records published to ", "0 records published to "} {
		out, err := p.replay(args...)
		require.NoError(p.t, err)
		require.Equal(p.t, want+target+"\n", out)
	}
	_, err = p.replay("--from", began, "--resume", positions)
	require.ErrorContains(p.t, err, positions+": it holds the positions of another replay")
	_, err = p.replay("--order", "1", "--to", p.cfg.TopicPrefix+event.TopicRequested)
	require.ErrorContains(p.t, err, "name a topic of the subscriber's own")
	out, err := p.replay("--order", "1", "--to", target)
	require.NoError(p.t, err)
	require.Equal(p.t, "4 records published to "+target+"\n", out)
}
