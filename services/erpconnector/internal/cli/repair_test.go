package cli

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/erpconnector/internal/repair"
	"github.com/erpconnector/erpconnector/shared/checkpoint"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func repaired() *repair.Report {
	return &repair.Report{
		Position: checkpoint.Position{LastID: 500}, Server: outbox.Server{System: "7", Timeline: 2}, Since: time.Date(2024, 1, 15, 11, 0, 0, 0, time.FixedZone("", 3600)), Records: 40,
	}
}

func TestARepairIsTold(t *testing.T) {
	t.Parallel()
	const sums = "       1  lost here, restored from Kafka\n       0  accepted here once more and in Kafka already, not relayed again\n       0  written here under ids that Kafka has seen, given new ones\n"
	for name, c := range map[string]struct {
		change func(r *repair.Report)
		want   string
	}{
		"a_kafka_that_is_new": {
			func(r *repair.Report) { *r = repair.Report{} },
			"nothing was ever relayed to this Kafka: there is nothing to repair\n",
		},
		"nothing_differs": {
			func(*repair.Report) {},
			"row 500, the last that was relayed, is here (Postgres system 7, timeline 2); 40 records of the log since 2024-01-15T10:00:00Z have their rows: nothing differs\n",
		},
		"the_whole_log_was_compared": {
			func(r *repair.Report) { r.Since, r.Records = time.Time{}, 1 },
			"row 500, the last that was relayed, is here (Postgres system 7, timeline 2); 1 record of the log have their rows: nothing differs\n",
		},
		"lost_records": {
			func(r *repair.Report) { r.Lost, r.Mismatch = 1, errors.New("the position does not fit") },
			"the position does not fit\n\nPostgres system 7, timeline 2, compared with 40 records of the log since 2024-01-15T10:00:00Z:\n" + sums,
		},
		"an_interrupted_repair": {
			func(r *repair.Report) { r.Lost, r.Open = 1, true },
			"An earlier repair was interrupted.\n\nPostgres system 7, timeline 2, compared with 40 records of the log since 2024-01-15T10:00:00Z:\n" + sums,
		},
		"orders": {
			func(r *repair.Report) {
				r.Lost, r.OrdersIn = 1, 4
				r.Orders = []*repair.Order{
					{Key: "1", Events: []string{"e1", "e2"}}, {Key: "outlet/2", Facts: 1, SyncID: 9, Generation: 2, Again: 1, Reused: 3},
				}
			},
			"Postgres system 7, timeline 2, compared with 40 records of the log since 2024-01-15T10:00:00Z:\n" + sums +
				"\n1: events e1, e2\noutlet/2: 1 fact of sync 9, generation 2; 1 row not relayed again; 3 rows with new ids\n\n4 orders in all, 2 not listed (--limit)\n",
		},
		"one_order": {
			func(r *repair.Report) {
				r.Lost, r.OrdersIn, r.Orders = 1, 1, []*repair.Order{{Key: "1", Facts: 2, SyncID: 9, Generation: 1}}
			},
			"Postgres system 7, timeline 2, compared with 40 records of the log since 2024-01-15T10:00:00Z:\n" + sums + "\n1: 2 facts of sync 9, generation 1\n\n1 order in all\n",
		},
		"mended": {
			func(r *repair.Report) { r.Lost, r.Mended, r.Requested = 1, true, 2 },
			"Postgres system 7, timeline 2, compared with 40 records of the log since 2024-01-15T10:00:00Z:\n" + sums +
				"\n2 orders had an invoice in Kafka and no request, which was lost: requested again.\n\nDatabase and Kafka fit again: the relay goes on where it stopped, once it is started.\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := repaired()
			c.change(r)
			var out strings.Builder
			require.NoError(t, printRepair(&out, r, repairFlags{}))
			require.Equal(t, c.want, out.String())
			requireTellsOfAFullDisk(t, func(w io.Writer) error { return printRepair(w, r, repairFlags{}) })
			requireTellsOfAFullDisk(t, func(w io.Writer) error { return printRepair(w, r, repairFlags{json: true}) })
		})
	}
}

// What stands in an order's key or an event's id was written by others.
func TestARepairsOrdersAreHarmless(t *testing.T) {
	t.Parallel()
	r := repaired()
	r.Lost, r.OrdersIn, r.Orders = 1, 1, []*repair.Order{{Key: hostile, Events: []string{hostile}}}
	var out strings.Builder
	require.NoError(t, printRepair(&out, r, repairFlags{}))
	requireHarmless(t, out.String())
	require.Contains(t, out.String(), `id\x1b[2J\r\n`)
}

func TestARepairAsJSON(t *testing.T) {
	t.Parallel()
	r := repaired()
	r.Lost, r.Again, r.Reused, r.Renamed, r.Requested, r.OrdersIn, r.Mismatch = 1, 2, 3, 4, 5, 6, errors.New("it does not fit")
	r.Orders = []*repair.Order{{Key: "<1>", Events: []string{"e"}}}
	var out strings.Builder
	require.NoError(t, printRepair(&out, r, repairFlags{json: true}))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 2)
	require.JSONEq(t, `{"order":"<1>","events":["e"]}`, lines[0])
	require.Contains(t, lines[0], "<1>", "as it is, for people read it too")
	require.JSONEq(t, `{"fits":false,"mended":false,"mismatch":"it does not fit","relayed_up_to":500,"system":"7","timeline":2,"log_since":"2024-01-15T11:00:00+01:00",
		"records_compared":40,"records_lost":1,"rows_in_kafka_already":2,"rows_with_ids_of_others":3,"orders_with_another_sync_id":4,"orders_requested_again":5,
		"orders":6,"orders_listed":1}`, lines[1])
	out.Reset()
	require.NoError(t, printRepair(&out, &repair.Report{}, repairFlags{json: true}))
	var sum map[string]any
	require.NoError(t, json.Unmarshal([]byte(out.String()), &sum))
	require.Equal(t, true, sum["fits"])
	require.NotContains(t, sum, "mismatch")
	require.NotContains(t, sum, "log_since")
}

// Brokers that do not answer are no verdict: 2, and nothing was changed.
func testARepairThatCannotTell(t *testing.T, _ testkit.Database, env variables) {
	env["KAFKA_BROKERS"] = "127.0.0.1:1"
	for _, args := range [][]string{{"repair"}, {"repair", "--yes"}} {
		cmd := Root()
		cmd.SetArgs(args)
		cmd.SetOut(io.Discard)
		err := cmd.ExecuteContext(WithEnvironment(stopped(t), env.lookup))
		require.Error(t, err)
		require.Equal(t, CouldNotTell, ExitCode(err))
		said, code := outcome(err, true)
		require.Equal(t, "stopped before it was done", said)
		require.Equal(t, interrupted, code)
	}
}
