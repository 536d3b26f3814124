package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/audits"
	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// TestOnABroker runs the commands that need brokers, in the order in which an operator of a new installation comes to them. They
// share an embedded broker and a database.
func TestOnABroker(t *testing.T) {
	t.Parallel()
	broker, database := testkit.EmbeddedBroker(t), testkit.Postgres(t)
	env := variables{
		"DATABASE_URL": database.URL, "KAFKA_BROKERS": strings.Join(broker.Brokers, ","), "KAFKA_TOPIC_PREFIX": broker.Prefix, "KAFKA_PARTITIONS": "2", "LOG_LEVEL": "error",
	}
	for _, step := range []struct {
		name string
		test func(t *testing.T, broker kafka.Config, env variables)
	}{
		{"topics", testTopics},
		{"nothing_was_used_yet", testNothingWasUsedYet},
		{"runs_are_kept", testRunsAreKept},
		{"a_dead_letter_is_shown", testADeadLetterIsShown},
		{"replay_of_a_range", testReplayOfARange},
		{"replay_to_a_subscriber", testReplayToASubscriber},
		{"replay_that_cannot_be", testReplayThatCannotBe},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.test(t, broker, env) }) {
			return // what follows stands on it
		}
	}
}

// with is the environment with other values.
func (v variables) with(more variables) variables {
	out := variables{}
	for _, some := range []variables{v, more} {
		for name, value := range some {
			out[name] = value
		}
	}
	return out
}

// Topics are made once, and a second look says that they are right, or all that is wrong.
func testTopics(t *testing.T, broker kafka.Config, env variables) {
	p := invoke(t, env, "topics", "check")
	require.ErrorContains(t, p.err, "the topics are not right:\n  ")
	require.ErrorContains(t, p.err, "sales_order_event is missing: run `erpconnector topics ensure`")
	require.Equal(t, 1, p.code())
	require.Empty(t, p.out)
	require.ErrorContains(t, invoke(t, env.with(variables{"HTTP_ADDR": testkit.FreeAddr(t)}), "run", "api").err, "sales_order_event is missing", "services do not begin without them")

	made := strings.Split(strings.TrimSpace(does(t, env, "topics", "ensure")), "\n")
	require.Len(t, made, len(event.Topics()))
	for _, topic := range event.Topics() {
		require.Contains(t, made, "created "+broker.Topic(topic.Name))
	}
	require.Empty(t, does(t, env, "topics", "ensure"), "nothing is left to make")
	require.Equal(t, "the topics are right\n", does(t, env, "topics", "check"))
	p = invoke(t, env.with(variables{"KAFKA_PARTITIONS": "3"}), "topics", "check")
	require.ErrorContains(t, p.err, "the topics are not right:\n  ")
	require.ErrorContains(t, p.err, "KAFKA_PARTITIONS")

	p = invoke(t, env.with(variables{"DATABASE_URL": ""}), "topics", "ensure", "--reset-missing-offsets")
	require.ErrorContains(t, p.err, "the projection must have read the whole log before offsets are reset, and no offset was changed: DATABASE_URL is not set")
	require.Equal(t, 1, p.code())
}

// A new installation has nothing to tell, and each command says so in its way with exit code 0.
func testNothingWasUsedYet(t *testing.T, _ kafka.Config, env variables) {
	require.Equal(t, "nothing was ever relayed to this Kafka: there is nothing to repair\n", does(t, env, "repair"))
	require.Contains(t, does(t, env, "audit"), "\n0 orders accepted = 0 ended + 0 alive + 0 not requested + 0 broken, at ")
	require.Contains(t, does(t, env, "audit", "--json"), `{"conserved":true,`)
	require.Empty(t, does(t, env, "replay", "--from", "2024-01-15"))
	require.Regexp(t, `^0 rows compared at offset \d+ of the log in all: 0 differ, 0 only in the live table, 0 only in the log\n`+
		`0 lines of the timeline compared: .*\n0 dead letters compared: .*\n$`, does(t, env, "verify"))
	require.Equal(t, "the live table is the one built from the log now: 0 rows differed, 0 were added, 0 dropped\n"+
		"the timeline, as far as this run has read the log: 0 lines were corrected, 0 added; 0 that the log does not hold stay\n"+
		"the table of dead letters, likewise: 0 were corrected, 0 added; 0 that the topic does not hold stay\n", does(t, env, "rebuild"))
	p := invoke(t, env, "replay", "--order", "000000123", "--source", "outlet")
	require.ErrorContains(t, p.err, "order 000000123 of outlet: ")
	require.ErrorContains(t, p.err, "; --source names another shop")
	require.Equal(t, 1, p.code())
}

// What `audit` and `verify` did stands in the table of runs, by the user of the operating system. A role that may only read does the same
// work, and says in a line that the table does not tell of it.
func testRunsAreKept(t *testing.T, _ kafka.Config, env variables) {
	runs := func() (out []audits.Run) {
		out, _, err := audits.NewStore(testkit.PoolOf(t, env["DATABASE_URL"])).List(t.Context(), audits.Listing{Limit: 10})
		require.NoError(t, err)
		return out
	}
	before := len(runs())
	p := invoke(t, env, "audit", "--source", "outlet", "--from", "2024-01-15")
	require.NoError(t, p.err)
	require.Empty(t, p.stderr)
	does(t, env, "verify")
	kept := runs()
	require.Len(t, kept, before+2)
	require.Equal(t, []any{audits.Verify, audits.Done, osUser(), audits.ByCommand}, []any{kept[0].Kind, kept[0].State, kept[0].AskedBy, kept[0].MadeBy})
	require.Contains(t, kept[0].Counts, "rows")
	require.Equal(t, []any{audits.Audit, audits.Done, "outlet", "2024-01-15T00:00:00Z"}, []any{kept[1].Kind, kept[1].State, *kept[1].Source, kept[1].From.UTC().Format(time.RFC3339)})
	require.Contains(t, kept[1].Counts, "accepted")

	reader := env.with(variables{"DATABASE_URL": env["DATABASE_URL"] + "&role=pg_read_all_data"})
	p = invoke(t, reader, "audit")
	require.NoError(t, p.err)
	require.Contains(t, p.out, "\n0 orders accepted = ")
	require.Equal(t, "the table of runs does not tell of this one: permission denied for table audit_run\n", p.stderr)
	p = invoke(t, env.with(variables{"KAFKA_TOPIC_PREFIX": "elsewhere."}), "audit")
	require.Equal(t, CouldNotTell, p.code())
	kept = runs()
	require.Len(t, kept, before+3)
	require.Equal(t, audits.Failed, kept[0].State)
	require.Contains(t, *kept[0].Error, "could not tell: ")
}

// A letter is shown with its record, as it stands in the topic. One that the topic does not hold any more is told as that.
func testADeadLetterIsShown(t *testing.T, broker kafka.Config, env variables) {
	client, err := kgo.NewClient(broker.Options()...)
	require.NoError(t, err)
	defer client.Close()
	original := &kgo.Record{
		Topic: broker.Topic(event.TopicRequested), Partition: 1, Offset: 42, Key: []byte("outlet/7"), Value: []byte("no\x1bJSON"), Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte("x")}},
	}
	letter := deadletter.Record(broker, original, deadletter.Cause{By: deadletter.BySyncer, Reason: "it is no JSON"})
	require.NoError(t, client.ProduceSync(t.Context(), letter).FirstErr())
	pool := testkit.PoolOf(t, env["DATABASE_URL"])
	add := func(l deadletter.Letter) {
		require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			return deadletter.Add(t.Context(), tx, []deadletter.Letter{l}, deadletter.WithoutEffect)
		}))
	}
	listed := deadletter.Read(broker, letter)
	add(listed)
	out := does(t, env, "deadletter", "show", "0")
	for _, want := range []string{
		"id        0\nstate     open\n", " by syncer\nreason    it is no JSON\nfrom      vendor_erp_sync_requested/1@42\nkey       outlet/7\n", "\nce_id: x\n", "\n" + `no\x1bJSON` + "\n",
	} {
		require.Contains(t, out, want)
	}
	require.Equal(t, "no\x1bJSON", does(t, env, "deadletter", "show", "0", "--value"), "byte for byte")
	p := invoke(t, env, "deadletter", "redrive", "0", "9", "--reason", "the cause is gone")
	require.ErrorContains(t, p.err, "dead letter 0 ", "it has stopped no order")
	require.ErrorContains(t, p.err, "dead letter 9: there is no such dead letter")
	require.Empty(t, p.out)
	_, err = pool.Exec(t.Context(), "UPDATE erp_dead_letter SET reason = 'another'")
	require.NoError(t, err)
	p = invoke(t, env, "deadletter", "show", "0")
	require.ErrorContains(t, p.err, "does not hold dead letter 0 (any more): was the topic trimmed or made anew, or is KAFKA_BROKERS another cluster than the projector's?")
	require.Empty(t, p.out)
}

// successOf writes a terminal event of an order, that occurred and was written at a time.
func successOf(t *testing.T, client *kgo.Client, broker kafka.Config, n int, at time.Time) {
	t.Helper()
	s := domain.Sync{
		SyncID: int64(n), Source: domain.DefaultSource, OrderIncrementID: fmt.Sprint(n), Status: domain.Success, Attempts: 1, MaxAttempts: 5, Generation: 1,
		Version: domain.AttemptVersion(1, 1, domain.PhaseTerminal),
	}
	r, err := event.NewSync(event.TopicSuccess, event.Sync{Sync: s}, event.Context{At: at})
	require.NoError(t, err)
	record := broker.Record(r)
	record.Timestamp = at
	require.NoError(t, client.ProduceSync(t.Context(), record).FirstErr())
}

// What is printed is one JSON object a line, of the range alone; a replay that was done prints nothing a second time.
func testReplayOfARange(t *testing.T, broker kafka.Config, env variables) {
	client, err := kgo.NewClient(broker.Options()...)
	require.NoError(t, err)
	defer client.Close()
	began := time.Date(2024, 1, 15, 10, 0, 0, 0, time.UTC)
	for n := range 10 {
		successOf(t, client, broker, n, began.Add(time.Duration(n)*time.Minute))
	}
	lines := func(args ...string) (keys []string) {
		for line := range strings.Lines(does(t, env, append([]string{"replay", "--topics", event.TopicSuccess}, args...)...)) {
			var record struct{ Topic, Key string }
			require.NoError(t, json.Unmarshal([]byte(line), &record))
			require.Equal(t, event.TopicSuccess, record.Topic, "without the prefix")
			keys = append(keys, record.Key)
		}
		return keys
	}
	require.Len(t, lines("--from", "2024-01-15"), 10)
	require.ElementsMatch(t, []string{"3", "4"}, lines("--from", "2024-01-15T10:03:00Z", "--to-time", "2024-01-15T12:05:00+02:00"))
	require.Empty(t, lines("--from", "2024-01-16"))
	require.Empty(t, lines("--from", "2024-01-14", "--to-time", "2024-01-15"))

	positions := filepath.Join(t.TempDir(), "positions.json")
	resumed := []string{"--from", "2024-01-15", "--resume", positions}
	require.Len(t, lines(resumed...), 10)
	require.FileExists(t, positions)
	require.Empty(t, lines(resumed...), "all of it was printed")
	successOf(t, client, broker, 11, began.Add(time.Hour))
	require.Empty(t, lines(resumed...), "its end was when it began first")
	p := invoke(t, env, "replay", "--from", "2024-01-14", "--resume", positions)
	require.ErrorContains(t, p.err, "--resume "+positions+": it holds the positions of another replay")
	require.Empty(t, p.out)
}

// A subscriber gets the records into a topic of its own, and the operator how many there were.
func testReplayToASubscriber(t *testing.T, broker kafka.Config, env variables) {
	target := broker.Topic("warehouse")
	args := []string{"replay", "--from", "2024-01-15T10:08:00Z", "--topics", event.TopicSuccess + "," + event.TopicSuccess, "--to", target}
	p := invoke(t, env, args...)
	require.ErrorContains(t, p.err, "topic "+target+": ")
	require.ErrorContains(t, p.err, ": create it first, with max.message.bytes of at least 8454144")
	require.Empty(t, p.out, "nothing is said of records")
	client, err := kgo.NewClient(broker.Options()...)
	require.NoError(t, err)
	defer client.Close()
	testkit.CreateTopic(t, client, 1, nil, target)
	require.Equal(t, "3 records published to "+target+"\n", does(t, env, args...), "a topic that is named twice is read once")
	require.Equal(t, "0 records published to "+target+"\n", does(t, env, "replay", "--from", "2030-01-15", "--to", target))
	resumed := append(args, "--resume", filepath.Join(t.TempDir(), "positions.json"))
	require.Equal(t, "3 records published to "+target+"\n", does(t, env, resumed...))
	require.Equal(t, "0 records published to "+target+"\n", does(t, env, resumed...), "a second call goes on where the first one ended")
}

func testReplayThatCannotBe(t *testing.T, broker kafka.Config, env variables) {
	positions := filepath.Join(t.TempDir(), "positions.json")
	require.NoError(t, os.WriteFile(positions, []byte("[]"), 0o600))
	for want, args := range map[string]string{
		"no topic is named; there are sales_order_event, ": "--from 2024-01-15 --topics=",
		positions + " holds no positions of a replay (":    "--from 2024-01-15 --resume " + positions,
		"keeping the positions: ":                          "--from 2024-01-15 --resume " + filepath.Join(t.TempDir(), "no", "such", "folder"),
		"is, by its name, a topic of a connector":          "--from 2024-01-15 --to " + broker.Topic(event.TopicDue),
		`source "Out" must be`:                             "--order 1 --source Out",
		"--to-time, --topics and --resume go with --from":  "--order 1 --to-time 2024-01-15",
	} {
		p := invoke(t, env, append([]string{"replay"}, strings.Fields(args)...)...)
		require.ErrorContains(t, p.err, want)
		require.Equal(t, 1, p.code())
		require.Empty(t, p.out)
	}
}
