package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/fx/fxtest"

	"github.com/erpconnector/erpconnector/services/app"
	"github.com/erpconnector/erpconnector/services/audit"
	"github.com/erpconnector/erpconnector/services/erpconnector/internal/cli"
	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/checkpoint"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// audited is what the command said as JSON.
type audited struct {
	violations []audit.Violation
	redrives   []string
	sources    map[string]audit.Counts
	verdict    cli.AuditVerdict
}

// audit runs the command, whose exit code must fit what it says.
func (p *product) audit(args ...string) audited {
	p.t.Helper()
	out, err := p.command(append([]string{"audit", "--json"}, args...)...)
	a := audited{sources: map[string]audit.Counts{}}
	if err != nil {
		require.Equal(p.t, 1, cli.ExitCode(err), "%s", err)
	}
	for line := range strings.Lines(out) {
		var kind struct {
			Break, Source, Redrive string
			Conserved              *bool
		}
		require.NoError(p.t, json.Unmarshal([]byte(line), &kind), line)
		switch {
		case kind.Break != "":
			var b audit.Violation
			require.NoError(p.t, json.Unmarshal([]byte(line), &b))
			a.violations = append(a.violations, b)
		case kind.Redrive != "":
			a.redrives = append(a.redrives, kind.Redrive)
		case kind.Conserved != nil:
			require.NoError(p.t, json.Unmarshal([]byte(line), &a.verdict))
		default:
			var c audit.Counts
			require.NoError(p.t, json.Unmarshal([]byte(line), &c))
			a.sources[c.Source] = c
		}
	}
	require.Equal(p.t, a.verdict.Conserved, err == nil, out)
	require.Len(p.t, a.violations, a.verdict.Listed)
	return a
}

// conserved requires an audit without a violation. The product may be at work meanwhile.
func (p *product) conserved() {
	p.t.Helper()
	pool, err := pgxpool.New(p.t.Context(), p.cfg.DatabaseURL)
	require.NoError(p.t, err)
	defer pool.Close()
	r, err := audit.Run(p.t.Context(), audit.Params{Kafka: kafka.Config{Brokers: p.cfg.KafkaBrokers, Prefix: p.cfg.TopicPrefix}, Pool: pool})
	require.NoError(p.t, err)
	require.Empty(p.t, r.Violations)
	require.NotZero(p.t, r.Total().Accepted)
}

// kinds are the violations by order.
func (a audited) kinds() map[string][]audit.Kind {
	out := map[string][]audit.Kind{}
	for _, b := range a.violations {
		out[b.Order] = append(out[b.Order], b.Kind)
	}
	return out
}

// only runs some of the product's services until stop is called.
func (p *product) only(names ...string) (stop func()) {
	p.t.Helper()
	log := slog.New(slog.NewTextHandler(p.t.Output(), nil))
	running := fxtest.New(p.t, app.Options(p.cfg, log, names...))
	running.RequireStart()
	stop = sync.OnceFunc(func() { running.RequireStop() })
	p.t.Cleanup(stop)
	return stop
}

func (p *product) everything() (stop func()) {
	p.t.Helper()
	return p.only("ingest", "relay", "syncer", "delayer", "projector", "scheduler", "api", "mockerp")
}

func newProduct(t *testing.T, brokers kafka.Config) *product {
	t.Helper()
	cfg := configured(t, brokers)
	cfg.Settings.Breaker = false // so many orders without luck would be an outage
	return &product{t: t, cfg: cfg, base: "http://" + cfg.HTTP.Addr}
}

// parks brings an order to where it waits for a retry, an hour away.
func (p *product) parks(order string) {
	p.t.Helper()
	p.fail(mockerp.Fault{Order: order, Status: http.StatusInternalServerError, RetryAfter: "3600", Times: 1})
	p.publish(invoice("e"+order, order))
	p.becomes(order, func(s map[string]any) bool { return s["attempts"] == 1.0 && s["next_attempt_at"] != nil })
}

func (p *product) succeeds(orders ...string) {
	p.t.Helper()
	for _, order := range orders {
		p.publish(invoice("e"+order, order))
	}
	for _, order := range orders {
		p.becomes(order, ended("success"))
	}
}

// everyEnd brings orders to every place where an order may be.
func (p *product) everyEnd() {
	p.t.Helper()
	p.succeeds("success", "success-again")
	status, _ := p.order("resync-order", "success-again", map[string]any{"newKey": true, "reason": "a test"})
	require.Equal(p.t, http.StatusOK, status)
	p.fail(mockerp.Fault{Order: "failed", Status: http.StatusUnprocessableEntity}, mockerp.Fault{Order: "busy", Status: http.StatusServiceUnavailable, Times: 1},
		mockerp.Fault{Order: "used-up", Status: http.StatusServiceUnavailable})
	p.publish([]any{invoice("e1", "failed"), invoice("e2", "busy"), invoice("e3", "used-up")})
	p.becomes("failed", ended("failed"))
	p.becomes("busy", ended("success"))
	p.becomes("used-up", func(s map[string]any) bool { return s["status"] == "failed" })
	for _, order := range []string{"parked", "settled", "cancelled", "superseded"} {
		p.parks(order)
	}
	p.accepts("settled", "ERP-1")
	p.order("cancel-order", "cancelled", map[string]any{"reason": "a test"})
	status, _ = p.order("resync-order", "superseded", nil)
	require.Equal(p.t, http.StatusOK, status)
	for range 2 {
		p.callback(map[string]any{"orderIncrementId": "parked", "status": "processing"}, byModule)
	}
	placed := invoice("placed", "placed")
	placed["type"] = "order.placed"
	other := invoice("other", "success")
	other["source"] = "other"
	p.publish([]any{placed, other, invoice("second", "success")})
	p.becomes("success?source=other", ended("success"))
	p.sendsAtOnce(false)
	p.publish(invoice("eheld", "held"))
	p.becomes("held", stands("pending"))
}

// sendsAtOnce sets whether invoices wait for the cron, and returns once it is in force, which orders of a shop of their own
// have shown.
func (p *product) sendsAtOnce(on bool) {
	p.t.Helper()
	p.set(fmt.Sprintf(`{"immediate_sync": %t}`, on))
	testkit.Eventually(p.t, func() bool {
		probe := invoice(fmt.Sprint("probe-", time.Now().UnixNano()), fmt.Sprint("probe-", time.Now().UnixNano()))
		probe["source"] = "probe"
		_, answer := p.publish(probe)
		return (answer["status"] == "queued") == on
	}, "immediate_sync is not %t yet", on)
}

// whole waits until the audit counts everything where it comes to rest.
func (p *product) whole() audited {
	p.t.Helper()
	deadline := time.Now().Add(testkit.Patience)
	for {
		a := p.audit()
		require.Empty(p.t, a.violations)
		if a.verdict.Total.UnderWay == 0 && a.verdict.Total.Alive.Requested+a.verdict.Total.Alive.Due == 0 {
			return a
		}
		require.True(p.t, time.Now().Before(deadline), "%+v", a.verdict)
	}
}

func TestAuditCountsEveryOrderOnceWhereItIs(t *testing.T) {
	t.Parallel()
	testkit.OnApacheFirst(t, func(t *testing.T, brokers kafka.Config) {
		p := newProduct(t, brokers)
		stop := p.everything()
		began := time.Now().UTC()
		p.everyEnd()
		a := p.whole()
		require.NotZero(t, a.sources["probe"].Alive.Held)
		delete(a.sources, "probe")
		require.Equal(t, map[string]audit.Counts{
			"default": {
				Source: "default", Accepted: 11, Relayed: 11, Success: 4, Failed: 2,
				Alive: audit.Alive{Held: 1, Parked: 3}, NotRequested: 1,
			},
			"other": {Source: "other", Accepted: 1, Relayed: 1, Success: 1},
		}, a.sources)
		require.Len(t, p.audit("--source", "other").sources, 1)
		require.Zero(t, p.audit("--from", began.Add(time.Hour).Format(time.RFC3339)).verdict.Total.Accepted)
		require.Zero(t, p.audit("--to-time", began.Add(-time.Hour).Format(time.RFC3339)).verdict.Total.Accepted)
		ranged := p.audit("--from", began.Add(-time.Hour).Format(time.RFC3339), "--to-time", began.Add(time.Hour).Format(time.RFC3339)).sources
		delete(ranged, "probe")
		require.Equal(t, a.sources, ranged)
		stop()
		p.sql(`SELECT setval('erp_outbox_id_seq', 300000); DROP TABLE erp_outbox_p0`) // as retention does
		dropped := p.audit()
		delete(dropped.sources, "probe")
		require.Equal(t, a.sources, dropped.sources)
		require.Greater(t, dropped.verdict.KeptFrom, int64(20))
		p.underWay()
	})
}

// underWay checks that what was accepted and not relayed, or relayed and not consumed, is no violation.
func (p *product) underWay() {
	p.t.Helper()
	stop := p.only("ingest")
	p.publish(invoice("waits", "waits"))
	stop()
	a := p.audit("--source", "default")
	require.Equal(p.t, 1, a.verdict.Total.UnderWay)
	require.Equal(p.t, audit.Alive{Outbox: 1, Held: 1, Parked: 3}, a.verdict.Total.Alive)
}

func TestAuditWhileLoadGoesOnRaisesNoFalseAlarm(t *testing.T) {
	t.Parallel()
	testkit.OnApacheFirst(t, func(t *testing.T, brokers kafka.Config) {
		p := newProduct(t, brokers)
		p.everything()
		var busy []mockerp.Fault // every third of the first orders is retried
		for o := range 100 {
			busy = append(busy, mockerp.Fault{Order: fmt.Sprint("load", 3*o), Status: http.StatusServiceUnavailable, Times: 1})
		}
		p.fail(busy...)
		stop := p.load()
		defer stop()
		untouched := p.touches()
		defer untouched()
		for range 8 {
			a := p.audit()
			require.Empty(t, a.violations)
			require.True(t, a.verdict.Conserved)
		}
		untouched()
		n := stop()
		require.Greater(t, n, 10)
		a := p.whole()
		require.Equal(t, audit.Counts{Accepted: n + 20, Relayed: n + 20, Success: n, NotRequested: 20}, a.verdict.Total)
	})
}

// touches publishes changes of the same twenty orders, ten times a second, until it is stopped.
func (p *product) touches() (stop func()) {
	p.t.Helper()
	change := func(round int) []any {
		var changes []any
		for o := range 20 {
			e := invoice(fmt.Sprintf("touch-%d-%d", round, o), fmt.Sprint("touched", o))
			e["type"] = "order.updated"
			changes = append(changes, e)
		}
		return changes
	}
	p.publish(change(0))
	stopped := make(chan struct{})
	var touching sync.WaitGroup
	touching.Go(func() {
		pace := time.NewTicker(100 * time.Millisecond)
		defer pace.Stop()
		for round := 1; ; round++ {
			select {
			case <-stopped:
				return
			case <-pace.C:
				p.publish(change(round))
			}
		}
	})
	return sync.OnceFunc(func() {
		close(stopped)
		touching.Wait()
	})
}

// planter plants violations in a product of which no service runs.
type planter struct {
	*product

	client *kgo.Client
	admin  *kadm.Client
	want   map[string][]audit.Kind
}

// expect says what the audit must name of an order.
func (p *planter) expect(order string, kinds ...audit.Kind) { p.want[order] = kinds }

// last is the last record of an order in a topic.
func (p *planter) last(topic, order string) *kgo.Record {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), testkit.Patience)
	defer cancel()
	name := p.cfg.TopicPrefix + topic
	client, err := kgo.NewClient(kgo.SeedBrokers(p.cfg.KafkaBrokers...), kgo.ConsumeTopics(name), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	require.NoError(p.t, err)
	defer client.Close()
	var found *kgo.Record
	for found == nil {
		fetches := client.PollFetches(ctx)
		require.NoError(p.t, fetches.Err(), "%s of %s", topic, order)
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() && string(r.Key) == order {
				found = r
			}
		})
	}
	return found
}

// repeat produces an order's record of one topic to a topic once more; change may alter it.
func (p *planter) repeat(from, to, order string, change func(r *kgo.Record)) {
	p.t.Helper()
	r := p.last(from, order)
	again := &kgo.Record{Topic: p.cfg.TopicPrefix + to, Key: r.Key, Value: r.Value, Headers: slices.Clone(r.Headers)}
	if change != nil {
		change(again)
	}
	require.NoError(p.t, p.client.ProduceSync(p.t.Context(), again).FirstErr())
}

func withUUID(uuid string) func(*kgo.Record) {
	return func(r *kgo.Record) {
		for i, h := range r.Headers {
			if h.Key == event.HeaderUUID {
				r.Headers[i].Value = []byte(uuid)
			}
		}
	}
}

// announce produces the before_send of an attempt that nothing follows.
func (p *planter) announce(order string, attempts int) {
	p.t.Helper()
	v, err := event.DecodeSync(p.last(event.TopicRequested, order).Value)
	require.NoError(p.t, err)
	v.Sync.Attempts = attempts
	v.Sync = domain.Sending(v.Sync, time.Now())
	r, err := event.NewSync(event.TopicBeforeSend, v, event.Context{At: time.Now()})
	require.NoError(p.t, err)
	require.NoError(p.t, p.client.ProduceSync(p.t.Context(), (kafka.Config{Prefix: p.cfg.TopicPrefix}).Record(r)).FirstErr())
}

// What the product has written is broken in each way but one: that a gate stays open after the end, which takes the audit eleven
// seconds to be sure of, is planted in the audit's own tests.
func TestAuditFindsEachPlantedViolation(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, brokers kafka.Config) {
		client, err := kgo.NewClient(brokers.Options()...)
		require.NoError(t, err)
		defer client.Close()
		p := &planter{newProduct(t, brokers), client, kadm.NewClient(client), map[string][]audit.Kind{}}
		stop := p.everything()
		p.everyEnd()
		p.sendsAtOnce(true)
		p.succeeds("twice", "unknown", "row-gone", "ended-twice", "after-twice", "before-alone", "alive-after", "unreadable",
			"gate-gone", "gate-ahead", "gate-key", "gate-sync-id")
		for _, order := range []string{"two-alive", "gate-closed", "gate-closed-by-hand", "gate-held"} {
			p.parks(order)
		}
		p.whole()
		stop()
		p.plantInTheLog()
		p.plantInTheGates()
		p.plantInTheOutbox()
		p.plantInThePositions()
		a := p.audit()
		require.Equal(t, p.want, a.kinds())
		require.Equal(t, 1, a.verdict.Total.Alive.SetAside)
		p.named(a)
		p.listed()
	})
}

func (p *planter) plantInTheLog() {
	p.t.Helper()
	p.repeat(event.TopicSalesOrder, event.TopicSalesOrder, "twice", nil)
	p.expect("twice", audit.TwiceInKafka)
	p.repeat(event.TopicSalesOrder, event.TopicSalesOrder, "unknown", withUUID("another"))
	p.expect("unknown", audit.RecordUnknown)
	p.repeat(event.TopicSalesOrder, event.TopicSalesOrder, "success", func(r *kgo.Record) { r.Key = []byte("stranger") })
	p.expect("stranger", audit.LogWithoutGate)
	p.repeat(event.TopicSuccess, event.TopicSuccess, "ended-twice", nil)
	p.expect("ended-twice", audit.EndedTwice)
	p.repeat(event.TopicAfterSend, event.TopicAfterSend, "after-twice", nil)
	p.expect("after-twice", audit.AfterSendTwice)
	p.announce("before-alone", 1)
	p.expect("before-alone", audit.BeforeSendAlone)
	p.repeat(event.TopicRequested, event.TopicDue, "alive-after", nil)
	p.expect("alive-after", audit.AliveAfterEnd)
	p.repeat(event.TopicAfterSend, event.TopicDue, "two-alive", nil)
	p.expect("two-alive", audit.TwoAlive)
	p.repeat(event.TopicAfterSend, event.TopicAfterSend, "unreadable", func(r *kgo.Record) { r.Value = []byte("{") })
	p.expect("unreadable", audit.Unreadable)
}

func (p *planter) plantInTheGates() {
	p.t.Helper()
	for order, change := range map[string]struct {
		set  string
		kind audit.Kind
	}{
		"gate-closed":         {`state = 'closed', closed_by = 'answer'`, audit.GateClosedWithoutEnd},
		"gate-closed-by-hand": {`state = 'closed', closed_by = 'hand'`, audit.GateClosedWithoutEnd},
		"gate-held":           {`state = 'held', held_by = 'cron'`, audit.GateHeldButReleased},
		"held":                {`state = 'open', held_by = NULL`, audit.GateOpenButHeld},
		"gate-ahead":          {`generation = 2`, audit.GateWithoutLog},
		"success-again":       {`generation = 1`, audit.GateGeneration},
		"gate-key":            {`idempotency_key = 'ERP_another'`, audit.GateKey},
		"gate-sync-id":        {`sync_id = sync_id + 1000000`, audit.GateSyncID},
	} {
		p.sql(`UPDATE erp_sync_gate SET ` + change.set + ` WHERE source = 'default' AND increment_id = '` + order + `'`)
		p.expect(order, change.kind)
	}
	p.sql(`DELETE FROM erp_sync_gate WHERE increment_id = 'gate-gone'`)
	p.expect("gate-gone", audit.LogWithoutGate)
}

func (p *planter) plantInTheOutbox() {
	p.t.Helper()
	p.sql(`DELETE FROM erp_outbox WHERE key = 'row-gone' AND topic = '` + event.TopicSalesOrder + `'`)
	p.expect("row-gone", audit.RecordUnknown)
	stop := p.only("ingest")
	p.publish([]any{invoice("egone", p.elsewhere("event-gone")), invoice("erequest", p.elsewhere("request-gone"))})
	stop()
	p.sql(`DELETE FROM erp_outbox WHERE key LIKE 'event-gone%' AND topic = '` + event.TopicSalesOrder + `'`)
	p.expect(p.elsewhere("event-gone"), audit.EventNotPublished)
	p.sql(`DELETE FROM erp_outbox WHERE key LIKE 'request-gone%' AND topic = '` + event.TopicRequested + `'`)
	p.expect(p.elsewhere("request-gone"), audit.GateWithoutLog)
}

// plantInThePositions moves the syncer's position over requests, and the relay's over rows.
func (p *planter) plantInThePositions() {
	p.t.Helper()
	lost, announced, aside := p.here("lost"), p.here("announced"), p.here("aside")
	stop := p.only("ingest", "relay")
	p.publish([]any{invoice("elost", lost), invoice("eannounced", announced), invoice("easide", aside)})
	testkit.Eventually(p.t, func() bool { return p.audit().verdict.Total.UnderWay == 0 }, "what was published is under way still")
	stop()
	p.announce(announced, 0)
	letter := deadletter.Record(kafka.Config{Prefix: p.cfg.TopicPrefix}, p.last(event.TopicRequested, aside),
		deadletter.Cause{By: deadletter.BySyncer, Reason: "a test"})
	require.NoError(p.t, p.client.ProduceSync(p.t.Context(), letter).FirstErr())
	name := p.cfg.TopicPrefix + event.TopicRequested
	ends, err := p.admin.ListEndOffsets(p.t.Context(), name)
	require.NoError(p.t, err)
	end, _ := ends.Lookup(name, plantedIn)
	over := kadm.Offsets{}
	over.AddOffset(name, plantedIn, end.Offset, -1)
	require.NoError(p.t, p.admin.CommitAllOffsets(p.t.Context(), p.cfg.TopicPrefix+string(event.GroupSyncer), over))
	p.expect(lost, audit.NeitherAliveNorEnded)
	p.expect(announced, audit.BeforeSendAlone)

	stop = p.only("ingest")
	p.publish(invoice("eskipped", "skipped"))
	stop()
	moved, err := checkpoint.Position{LastID: p.lastRow(), At: time.Now()}.Record()
	require.NoError(p.t, err)
	moved.Topic = p.cfg.TopicPrefix + event.TopicPosition
	require.NoError(p.t, p.client.ProduceSync(p.t.Context(), moved).FirstErr())
	p.expect("skipped", audit.RowNotInKafka, audit.RowNotInKafka)
}

func (p *planter) lastRow() (id int64) {
	p.t.Helper()
	conn, err := pgx.Connect(p.t.Context(), p.cfg.DatabaseURL)
	require.NoError(p.t, err)
	defer func() { _ = conn.Close(p.t.Context()) }()
	require.NoError(p.t, conn.QueryRow(p.t.Context(), `SELECT max(id) FROM erp_outbox`).Scan(&id))
	return id
}

// plantedIn is the partition in which the syncer's position is moved: other requests that wait must not be there.
const plantedIn = 3

func (p *planter) here(name string) string {
	return p.ordered(name, func(n int) bool { return n == plantedIn })
}

func (p *planter) elsewhere(name string) string {
	return p.ordered(name, func(n int) bool { return n != plantedIn })
}

func (p *planter) ordered(name string, fits func(partition int) bool) string {
	partitioner := kgo.StickyKeyPartitioner(nil).ForTopic("")
	for i := 0; ; i++ {
		order := fmt.Sprintf("%s-%d", name, i)
		if fits(partitioner.Partition(&kgo.Record{Key: []byte(order)}, p.cfg.Partitions)) {
			return order
		}
	}
}

// named checks that each violation says where it is and what to do.
func (p *planter) named(a audited) {
	p.t.Helper()
	for _, b := range a.violations {
		if b.Kind == audit.EventNotPublished {
			require.Equal(p.t, "event_id egone", b.Found)
		}
		require.NotEmpty(p.t, b.Means)
		require.Equal(p.t, "default", b.Source)
		require.True(p.t, b.OutboxID != 0 || b.Offset != nil || b.SyncID != 0, "%+v", b)
	}
}

// listed looks at what a person reads, and at how much of it.
func (p *planter) listed() {
	p.t.Helper()
	out, err := p.command("audit", "--limit", "2")
	require.ErrorContains(p.t, err, "docs/audit.md")
	require.Equal(p.t, 1, cli.ExitCode(err))
	require.Regexp(p.t, `(?m)^ +accepted +relayed +under way +\| +success`, out)
	require.Regexp(p.t, `(?m)^ *default +\d+ +\d+`, out)
	total := 0
	for _, kinds := range p.want {
		total += len(kinds)
	}
	require.Contains(p.t, out, fmt.Sprintf("; %d breaks (%d not listed)\n", total, total-2))
	require.Len(p.t, regexp.MustCompile(`(?m)^  [A-Z]`).FindAllString(out, -1), 2, out)
	for _, b := range p.audit("--from", "2100-01-01").violations {
		require.Fail(p.t, "out of the range", "%+v", b)
	}
}

func TestAuditThatCannotTellExitsWithTwo(t *testing.T) {
	p := newProduct(t, testkit.EmbeddedBroker(t))
	for _, args := range []string{"audit --bogus", "audit bogus", "audit --from yesterday", "audit --source A", "audit --limit -1", "audit --from 2024-01-02 --to-time 2024-01-01"} {
		_, err := p.command(strings.Fields(args)...)
		require.Error(t, err, args)
		require.Equal(t, cli.CouldNotTell, cli.ExitCode(err), args)
	}
	elsewhere := product{t: t, cfg: config.Config{DatabaseURL: p.cfg.DatabaseURL, KafkaBrokers: p.cfg.KafkaBrokers, TopicPrefix: "elsewhere."}}
	_, err := elsewhere.command("audit")
	require.ErrorContains(t, err, "could not tell")
	require.Equal(t, cli.CouldNotTell, cli.ExitCode(err))
	out, err := p.command("audit")
	require.NoError(t, err, "a product that nobody has used yet")
	require.Contains(t, out, "0 orders accepted = 0 ended + 0 alive + 0 not requested + 0 broken")
}
