package cli

import (
	"encoding/json"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/audit"
)

func TestWhatAnAuditIsAsked(t *testing.T) {
	t.Parallel()
	day := time.Date(2024, 1, 15, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		flags auditFlags
		want  audit.Params
		err   string // all of it
	}{
		"nothing":         {auditFlags{}, audit.Params{}, ""},
		"a_day":           {auditFlags{from: "2024-01-15", until: "2024-01-16"}, audit.Params{From: day, To: day.AddDate(0, 0, 1)}, ""},
		"a_moment":        {auditFlags{from: "2024-01-15T01:00:00.5+01:00"}, audit.Params{From: day.Add(500 * time.Millisecond)}, ""},
		"an_end_alone":    {auditFlags{until: "2024-01-15", limit: 7}, audit.Params{To: day, Limit: 7}, ""},
		"a_shop":          {auditFlags{source: "outlet"}, audit.Params{Source: "outlet"}, ""},
		"an_empty_range":  {auditFlags{from: "2024-01-15", until: "2024-01-15"}, audit.Params{}, "the range ends at 2024-01-15T00:00:00Z, which is not after its start"},
		"a_negative_one":  {auditFlags{limit: -1}, audit.Params{}, "--limit -1 must not be negative"},
		"all_of_it_wrong": {auditFlags{from: "x", until: "y", limit: -2}, audit.Params{}, `--from "x" is no time: write 2024-01-15T10:00:00Z, or 2024-01-15 (UTC)` + "\n" + `--to-time "y" is no time: write 2024-01-15T10:00:00Z, or 2024-01-15 (UTC)` + "\n--limit -2 must not be negative"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := c.flags.params()
			if c.err != "" {
				require.EqualError(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.True(t, c.want.From.Equal(got.From) && c.want.To.Equal(got.To), "%s to %s", got.From, got.To)
			require.Equal(t, []any{c.want.Source, c.want.Limit}, []any{got.Source, got.Limit})
		})
	}
}

// report is one with two shops, and a break of each form.
func audited() *audit.Report {
	return &audit.Report{
		At: time.Date(2024, 1, 15, 11, 30, 0, 0, time.FixedZone("", 3600)), Relayed: 77, KeptFrom: 1,
		Sources: []*audit.Counts{
			{
				Source: "default", Accepted: 12, Relayed: 9, UnderWay: 2, Success: 3, Failed: 1,
				Alive: audit.Alive{Outbox: 1, Held: 1, Requested: 1, Parked: 1, Due: 1, SetAside: 1}, NotRequested: 1, Broken: 1,
			},
			{Source: "outlet", Accepted: 1, Relayed: 1, Success: 1},
		},
	}
}

const auditHead = "           accepted  relayed  under way  |  success  failed  |  outbox  held  requested  parked  due  set aside  |  not requested  broken\n"

func TestAReportIsPrinted(t *testing.T) {
	t.Parallel()
	text := func(r *audit.Report) string {
		var out strings.Builder
		require.NoError(t, printReport(&out, r, false))
		return out.String()
	}
	t.Run("two_shops_and_their_sum", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, auditHead+
			"  default        12        9          2  |        3       1  |       1     1          1       1    1          1  |              1       1\n"+
			"   outlet         1        1          0  |        1       0  |       0     0          0       0    0          0  |              0       0\n"+
			"      all        13       10          2  |        4       1  |       1     1          1       1    1          1  |              1       1\n"+
			"\n13 orders accepted = 5 ended + 6 alive + 1 not requested + 1 broken, at 2024-01-15T10:30:00Z; 0 breaks\n", text(audited()))
	})
	t.Run("one_shop_is_its_own_sum", func(t *testing.T) {
		t.Parallel()
		r := audited()
		r.Sources = r.Sources[1:]
		out := text(r)
		require.NotContains(t, out, "all")
		require.Contains(t, out, "\n1 order accepted = 1 ended + 0 alive")
	})
	t.Run("nothing_yet", func(t *testing.T) {
		t.Parallel()
		out := text(&audit.Report{At: time.Unix(0, 0)})
		require.Regexp(t, `(?m)^ *all +0 +0 +0 `, out)
		require.Contains(t, out, "0 orders accepted = 0 ended + 0 alive + 0 not requested + 0 broken, at 1970-01-01T00:00:00Z; 0 breaks\n")
	})
	t.Run("as_many_as_there_can_be", func(t *testing.T) {
		t.Parallel()
		r := audited()
		r.Sources[0].Accepted = math.MaxInt64 - 1
		require.Contains(t, text(r), "9223372036854775806")
	})
	t.Run("breaks_that_are_not_listed", func(t *testing.T) {
		t.Parallel()
		r := audited()
		r.KeptFrom, r.ViolationsAll = 500, 3
		r.Violations = []audit.Violation{{Source: "default", Order: "1", Kind: "two_alive", Means: "Two are alive."}}
		out := text(r)
		require.Contains(t, out, "\ndefault 1: two_alive\n  Two are alive.\n")
		require.Contains(t, out, "; the outbox is kept from id 500 on, older records were compared with the accepted events alone; 3 breaks (2 not listed)\n")
		r.ViolationsAll = 1
		require.Contains(t, text(r), "; 1 break\n")
	})
	t.Run("on_a_full_disk", func(t *testing.T) {
		t.Parallel()
		r := audited()
		r.Violations, r.ViolationsAll = []audit.Violation{{Source: "default"}, {Source: "outlet"}}, 2
		requireTellsOfAFullDisk(t, func(w io.Writer) error { return printReport(w, r, false) })
		requireTellsOfAFullDisk(t, func(w io.Writer) error { return printReport(w, r, true) })
	})
}

// A script reads one object a line: each break, each shop, the verdict last.
func TestAReportAsJSON(t *testing.T) {
	t.Parallel()
	r := audited()
	r.ViolationsAll, r.Broken = 3, map[audit.Kind]int{"two_alive": 3}
	r.Violations = []audit.Violation{{Kind: "two_alive", Source: "default", Order: "<1>", SyncID: 4, Generation: 1, Partition: new(int32(0)), Offset: new(int64(0)), Topic: "t", Means: "a & b"}}
	var out strings.Builder
	require.NoError(t, printReport(&out, r, true))
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	require.Len(t, lines, 4)
	require.JSONEq(t, `{"break":"two_alive","source":"default","order_increment_id":"<1>","sync_id":4,"generation":1,"topic":"t","partition":0,"offset":0,"means":"a & b"}`, lines[0])
	require.Contains(t, lines[0], "<1>", "as it is, for people read it too")
	require.JSONEq(t, `{"source":"outlet","accepted":1,"relayed":1,"under_way":0,"ended_success":1,"ended_failed":0,
		"alive":{"outbox":0,"held":0,"requested":0,"parked":0,"due":0,"set_aside":0},"not_requested":0,"broken":0}`, lines[2])
	var verdict AuditVerdict
	require.NoError(t, json.Unmarshal([]byte(lines[3]), &verdict))
	require.Equal(t, AuditVerdict{
		At: r.At.UTC(), Relayed: 77, KeptFrom: 1, Total: r.Total(), Breaks: 3, Listed: 1, ByKind: map[audit.Kind]int{"two_alive": 3},
	}, verdict)

	out.Reset()
	require.NoError(t, printReport(&out, &audit.Report{}, true))
	require.Equal(t, 1, strings.Count(out.String(), "\n"), "nothing was accepted yet")
	require.Contains(t, out.String(), `"conserved":true`)
}

// A break names its order, and as much of the place as is known.
func TestWhereABreakIs(t *testing.T) {
	t.Parallel()
	for want, v := range map[string]audit.Violation{
		"default 1":                         {Source: "default", Order: "1"},
		"outlet 1 (sync 7, generation 2)":   {Source: "outlet", Order: "1", SyncID: 7, Generation: 2},
		"default 1, attempt 3":              {Source: "default", Order: "1", Attempt: 3},
		"default 1, outbox id 5":            {Source: "default", Order: "1", OutboxID: 5},
		"default 1, vendor_erp_sync_due":    {Source: "default", Order: "1", Topic: "vendor_erp_sync_due"},
		"default 1, t partition 0 offset 0": {Source: "default", Order: "1", Topic: "t", Partition: new(int32(0)), Offset: new(int64(0))},
		`default 1, key "a", log "b"`:       {Source: "default", Order: "1", Found: `key "a", log "b"`},
		`default a\nb`:                      {Source: "default", Order: "a\nb"},
		"s 1 (sync 7, generation 0), attempt 1, outbox id 2, t partition 3 offset 4, f": {
			Source: "s", Order: "1", SyncID: 7, Attempt: 1, OutboxID: 2, Topic: "t", Partition: new(int32(3)), Offset: new(int64(4)), Found: "f",
		},
	} {
		require.Equal(t, want, named(v))
	}
}

func TestCounted(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0 orders", 1: "1 order", 2: "2 orders", -1: "-1 orders"} {
		require.Equal(t, want, counted(n, "order"))
	}
}
