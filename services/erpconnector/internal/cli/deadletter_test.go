package cli

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/client"
	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

var writtenAt = time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)

// addLetter lists a dead letter of an order's request that was the last record of its generation.
func addLetter(t *testing.T, pool *pgxpool.Pool, id int64, orderKey string) {
	t.Helper()
	letter := deadletter.Letter{
		ID: id, WrittenAt: writtenAt, By: deadletter.BySyncer, Topic: event.TopicRequested, Partition: 3, Offset: 10 + id, OrderKey: orderKey, Bytes: 7, Reason: "no JSON",
	}
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		return deadletter.Add(t.Context(), tx, []deadletter.Letter{letter}, deadletter.WithoutEffect)
	}))
}

func TestWordsThatSelectDeadLetters(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args, wrong string
		want        map[string]string
	}{
		"all":                 {"", "", map[string]string{}},
		"of_a_shops_order":    {"--source outlet --order a/b", "", map[string]string{"source": "outlet", "order": "a/b"}},
		"a_shop_that_is_none": {"--source Out!let --order 1", `"Out!let"`, nil},
		"a_day_that_is_none":  {"--since yesterday", "--since ", nil},
		"an_empty_word":       {"--topic=", "--topic is empty; leave it out to select all", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var words deadletter.Words
			cmd := &cobra.Command{}
			letterFlags(cmd, &words)
			require.NoError(t, cmd.ParseFlags(strings.Fields(c.args)))
			err := checkLetterWords(cmd, words)
			if c.wrong != "" {
				require.ErrorContains(t, err, c.wrong)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, givenWords(cmd, deadletter.SelectingWords))
		})
	}
}

// An operator sees the open letters, decides about some, and finds them by their state and order.
func testDeadletterListAndDiscard(t *testing.T, database testkit.Database, env variables) {
	list := func(args ...string) string { return does(t, env, append([]string{"deadletter", "list"}, args...)...) }
	require.Equal(t, "there are no such dead letters\n", list())
	for id, key := range []string{"000000123", "outlet/7", "000000123", "outlet/7"} {
		addLetter(t, database.Pool, int64(id), key)
	}
	require.Equal(t, `ID  STATE  WRITTEN              BY      ORDER      STOPPED  FROM                            REASON
0   open   2024-01-15 10:30:00  syncer  000000123  -        vendor_erp_sync_requested/3@10  no JSON
there are more: erpconnector deadletter list --limit 1 --after 0
`, list("--limit", "1"))
	require.Contains(t, list("--limit", "1", "--order", "7", "--source", "outlet"), "deadletter list --limit 1 --order 7 --source outlet --after 1\n")
	require.Equal(t, 3, strings.Count(list("--order", "000000123"), "\n"))
	require.Equal(t, "there are no such dead letters\n", list("--order", "7"), "the default shop's")
	require.Equal(t, "there are no such dead letters\n", list("--after", "3"))

	// The second one is refused the second time; that keeps nobody from the third.
	p := invoke(t, env, "deadletter", "discard", "1", "--reason", "known")
	require.NoError(t, p.err)
	require.Equal(t, "1  discarded\n", p.out)
	p = invoke(t, env, "deadletter", "discard", "0", "1", "9", "3", "3", "--reason", "all of them")
	require.Equal(t, "0  discarded\n3  discarded\n", p.out)
	require.ErrorContains(t, p.err, "dead letter 1 was discarded by "+osUser()+" at ")
	require.ErrorContains(t, p.err, "dead letter 9: there is no such dead letter")
	require.NotContains(t, p.err.Error(), "dead letter 3", "it was named twice, and is discarded once")
	require.Equal(t, 1, p.code())
	require.Equal(t, 2, strings.Count(list(), "\n"), "one is open")
	require.Equal(t, 4, strings.Count(list("--state", "discarded"), "\n"))
	require.Equal(t, 5, strings.Count(list("--state", "all"), "\n"))
	require.Equal(t, "there are no such dead letters\n", list("--state", "redriven"))

	// What was decided and could not be printed is an error: a script that reads the list would miss it.
	cmd := Root()
	cmd.SetArgs([]string{"deadletter", "discard", "2", "--reason", "known"})
	cmd.SetOut(&fullDisk{})
	require.ErrorIs(t, cmd.ExecuteContext(WithEnvironment(t.Context(), env.lookup)), errDiskFull)
	require.Equal(t, "there are no such dead letters\n", list(), "it is discarded all the same")
}

// What needs the topic asks the table first: an id that is not there costs no time-out of the brokers.
func testADeadLetterThatIsNotThere(t *testing.T, database testkit.Database, env variables) {
	env["KAFKA_BROKERS"] = "127.0.0.1:1"
	for _, args := range []string{"show 7", "show 7 --value", "redrive 7 --reason x"} {
		p := invoke(t, env, append([]string{"deadletter"}, strings.Fields(args)...)...)
		require.ErrorContains(t, p.err, "there is no such dead letter", args)
		require.Empty(t, p.out)
	}
	addLetter(t, database.Pool, 7, "1")
	p := invoke(t, variables{"DATABASE_URL": env["DATABASE_URL"], "KAFKA_BROKERS": env["KAFKA_BROKERS"], "CONNECTOR_ENABLED": "false"}, "deadletter", "redrive", "7", "--reason", "x")
	require.ErrorContains(t, p.err, "the connector is off")
}

func TestALetterIsShownWhole(t *testing.T) {
	t.Parallel()
	show := func(l letterRecord) string {
		var out strings.Builder
		require.NoError(t, printLetter(&out, l))
		return out.String()
	}
	open := letterRecord{Value: []byte(`{"a": 1}`), Headers: map[string]string{"ce_id": "7/1/x", "empty": ""}, DeadLetter: client.DeadLetter{
		Id: 7, WrittenAt: "2024-01-15T10:30:00.000Z", WrittenBy: "delayer", Topic: "vendor_erp_sync_due", Partition: 1, Offset: 2, Key: "outlet/7", Reason: "no due time", State: "open",
	}}
	require.Equal(t, `id        7
state     open
written   2024-01-15T10:30:00Z by delayer
reason    no due time
from      vendor_erp_sync_due/1@2
key       outlet/7

ce_id: 7/1/x
empty: 

{
  "a": 1
}
`, show(open))

	decided := open
	decided.State, decided.WrittenBy, decided.Topic, decided.Bytes = "discarded", "", "", showBytes+1
	decided.DecidedAt, decided.DecidedBy, decided.Decision, decided.StoppedGeneration = new("2024-01-15T10:30:00.000Z"), new("me"), new("it is known"), new(2)
	decided.Value = nil
	decided.Other = []byte(strings.Repeat("x", showBytes+1))
	out := show(decided)
	require.Contains(t, out, "state     discarded\nwritten   2024-01-15T10:30:00Z by -\n")
	require.Contains(t, out, "from      not said\n")
	require.Contains(t, out, "stopped   generation 2 of the order\ndecided   2024-01-15T10:30:00Z by me: it is known\n")
	require.Contains(t, out, strings.Repeat("x", showBytes)+"\n… 4097 bytes in all: erpconnector deadletter show 7 --value\n")
	require.NotContains(t, show(letterRecord{Other: []byte(strings.Repeat("x", showBytes))}), "in all")
	require.Contains(t, show(letterRecord{Other: []byte("a\nb\x00\xff")}), "\n\na\nb"+`\x00\xff`+"\n", "a value that is no text")
	requireTellsOfAFullDisk(t, func(w io.Writer) error { return printLetter(w, open) })
}

func TestLettersInAList(t *testing.T) {
	t.Parallel()
	long := client.DeadLetter{
		Id: 1 << 40, WrittenAt: "2024-01-15T10:30:00Z", WrittenBy: strings.Repeat("b", 50), Topic: strings.Repeat("t", 70), Partition: 1, Offset: 2,
		Key: strings.Repeat("k", 70), Reason: strings.Repeat("r", 200), State: "redriven", StoppedGeneration: new(3),
	}
	out := rows(t, letterListing, "table", long, client.DeadLetter{State: "open"})
	require.Contains(t, out, fmt.Sprintf("1099511627776  redriven  2024-01-15 10:30:00  %s…  %s…  generation 3  %s…/1@2  %s…\n",
		strings.Repeat("b", 39), strings.Repeat("k", 59), strings.Repeat("t", 59), strings.Repeat("r", 99)))
	require.Regexp(t, `\n0 +open +- +- +- +not said\n`, out, "one that says nothing")
}

// A terminal gets what others wrote with escapes, a file gets it byte for byte.
func TestPrintBytes(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	require.NoError(t, printBytes(&out, []byte(hostile)))
	require.Equal(t, hostile, out.String())
	requireTellsOfAFullDisk(t, func(w io.Writer) error { return printBytes(w, []byte("x")) })
}
