package syncer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/txn"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// noon is when everything happens in these tests.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// recordingGates are gates that record their reads and the committed syncs. With err they do not answer.
type recordingGates struct {
	memoryGates
	reads     [][]string // the orders of each read
	committed []domain.Sync
	err       error
}

func (r *recordingGates) Advise(ctx context.Context, records []domain.Sync) ([]domain.Advice, error) {
	var ids []string
	for _, s := range records {
		ids = append(ids, s.OrderIncrementID)
	}
	r.reads = append(r.reads, ids)
	if r.err != nil {
		return nil, r.err
	}
	return r.memoryGates.Advise(ctx, records)
}

func (r *recordingGates) Committed(s domain.Sync) { r.committed = append(r.committed, s) }

// committing is a committer with its queue, gates and log.
type committing struct {
	*committer
	gates *recordingGates
	lines *testkit.Log
}

func newCommitting() *committing {
	c := &committing{gates: &recordingGates{memoryGates: memoryGates{gates: map[string]*domain.Gate{}}}, lines: &testkit.Log{}}
	log := slog.New(slog.NewTextHandler(c.lines, nil))
	cfg := kafka.Config{Prefix: "p."}
	postgres := dependency("postgres")
	c.committer = &committer{
		queue: newTestQueue(), cfg: cfg, gates: c.gates, gateCloser: newGateCloser(nil, log, postgres),
		deadLetters: &deadLetters{cfg: cfg, log: log, now: func() time.Time { return noon }}, log: log, postgres: postgres,
	}
	return c
}

// task returns a requested order whose gate is open. A caller has taken it from the queue.
func (c *committing) task(t *testing.T, id string) *task {
	t.Helper()
	policy := domain.RequestPolicy{Enabled: true, ImmediateSync: true, MaxAttempts: 3}
	g, ok := domain.Gate{Ref: domain.OrderRef{Source: "default", IncrementID: id}, State: domain.GateNone}.Request(1, policy, noon)
	require.True(t, ok)
	c.gates.set(g)
	value := event.Sync{Sync: g.RequestedSync(nil, "evt"), Order: json.RawMessage(fmt.Sprintf(`{"order_increment_id":%q}`, id))}
	r, err := event.NewSync(event.TopicRequested, value, event.Context{At: noon})
	require.NoError(t, err)
	record := c.cfg.Record(r)
	own, err := newTask(&txn.Task{Record: record}, classRequested, c.cfg.Event(record))
	require.NoError(t, err)
	own.queued = true
	c.queue.push(own)
	taken, ok := c.queue.next()
	require.True(t, ok)
	require.Same(t, own, taken)
	return own
}

// called returns a task after a call that the ERP answered with the status.
func (c *committing) called(t *testing.T, id string, status int) *task {
	t.Helper()
	own := c.task(t, id)
	policy := setting.Defaults().RetryPolicy()
	answer := domain.Answer{StatusCode: status, Body: domain.AnswerBodyOf([]byte(`{"erp_reference":"ERP-` + id + `"}`))}
	o := domain.Classify(answer, policy.AnswerPolicy, false, noon)
	own.outcome = &outcome{
		Decision: domain.Decide(own.value.Sync, o, policy, noon, 0), at: noon, error: o.Error, answered: o.Kind == domain.OutcomeSuccess,
		response: &event.Response{Status: status, Body: "the answer"},
	}
	return own
}

// closeGate closes the gate of an order.
func (c *committing) closeGate(id string, by domain.ClosedBy) {
	g := *c.gates.gates[id]
	g.State, g.ClosedBy = domain.GateClosed, by
	c.gates.set(g)
}

// inSession returns the tasks as the session gives them to the committer.
func inSession(tasks ...*task) (all []*txn.Task) {
	for _, own := range tasks {
		all = append(all, own.Task)
	}
	return all
}

// topicsOf returns the topics that a task writes to, without prefix and common start.
func topicsOf(own *task) (topics []string) {
	for _, r := range own.Records() {
		topics = append(topics, strings.TrimPrefix(r.Topic, "p.vendor_erp_sync_"))
	}
	return topics
}

func syncOf(t *testing.T, r *kgo.Record) event.Sync {
	t.Helper()
	v, err := event.DecodeSync(r.Value)
	require.NoError(t, err)
	return v
}

func TestPrepareFollowsTheAdviceOfAllGatesReadAtOnce(t *testing.T) {
	c := newCommitting()
	success, busy, rejected := c.called(t, "1", 201), c.called(t, "2", 503), c.called(t, "3", 422)
	settled, cancelled, deadLetter := c.called(t, "4", 503), c.called(t, "5", 201), c.called(t, "6", 201)
	c.closeGate("4", domain.ClosedByWebhook)
	c.closeGate("5", domain.ClosedByCancelled)
	c.closeGate("6", domain.ClosedByDeadLetter)
	passedOver := c.task(t, "7")
	all := inSession(success, busy, rejected, settled, cancelled, deadLetter, passedOver)
	c.Prepare(t.Context(), all)

	require.Equal(t, [][]string{{"1", "2", "3", "4", "5", "6"}}, c.gates.reads, "one read, and none for a task without a call")
	require.Equal(t, []string{"after_send", "success"}, topicsOf(success))
	require.Equal(t, "ERP-1", *syncOf(t, success.Records()[1]).Sync.ErpReference)
	require.Equal(t, "the answer", syncOf(t, success.Records()[1]).Response.Body)
	require.Len(t, topicsOf(busy), 2)
	require.Equal(t, "after_send", topicsOf(busy)[0])
	require.Contains(t, topicsOf(busy)[1], "retry_")
	require.Equal(t, []string{"after_send", "failed"}, topicsOf(rejected))
	require.Equal(t, []string{"after_send", "success"}, topicsOf(settled), "the webhook has decided, not the answer")
	require.Equal(t, domain.InProgress, syncOf(t, settled.Records()[0]).Sync.Status, "no retry follows")
	require.Equal(t, domain.ClosedByWebhook, syncOf(t, settled.Records()[1]).Sync.ClosedBy)
	require.Equal(t, []string{"after_send", "failed"}, topicsOf(cancelled))
	require.Equal(t, domain.ClosedByCancelled, syncOf(t, cancelled.Records()[1]).Sync.ClosedBy)
	require.True(t, cancelled.ends[0].Answered, "the ERP has the order, so its key is used up")
	require.Equal(t, []string{"after_send", "success"}, topicsOf(deadLetter), "nobody has decided, so the answer counts")
	require.Empty(t, topicsOf(passedOver))
}

// A transaction that fails is repeated, with the advice of that time. The outcome itself stays.
func TestPrepareRepeatedWritesTheSameUnderTheSameAdvice(t *testing.T) {
	c := newCommitting()
	busy := c.called(t, "1", 503)
	c.Prepare(t.Context(), inSession(busy))
	first := busy.Records()
	c.Prepare(t.Context(), inSession(busy))
	require.Len(t, busy.Records(), len(first))
	for i, r := range busy.Records() {
		require.Equal(t, string(first[i].Value), string(r.Value))
	}
	c.closeGate("1", domain.ClosedByWebhook)
	c.Prepare(t.Context(), inSession(busy))
	require.Equal(t, []string{"after_send", "success"}, topicsOf(busy), "it was settled meanwhile")
	require.Len(t, busy.ends, 1)
}

func TestPrepareWithoutCallsReadsNoGate(t *testing.T) {
	c := newCommitting()
	c.Prepare(t.Context(), inSession(c.task(t, "1")))
	require.Empty(t, c.gates.reads)
}

// The second read of the gates is advice: without Postgres the outcomes are committed.
func TestPrepareGoesOnWithoutPostgres(t *testing.T) {
	c := newCommitting()
	c.gates.err = errors.New("postgres is down")
	for range 2 {
		own := c.called(t, "1", 201)
		c.closeGate("1", domain.ClosedByCancelled)
		c.Prepare(t.Context(), inSession(own))
		require.Equal(t, []string{"after_send", "success"}, topicsOf(own))
		c.release(own)
	}
	require.Len(t, c.lines.Lines(), 1, "it is logged once")
	require.Contains(t, c.lines.Lines()[0], `dependency failing; retrying until it answers" error="postgres is down" dependency=postgres`)
}

// silentGates do not answer before the context ends.
type silentGates struct{ recordingGates }

func (s *silentGates) Advise(ctx context.Context, _ []domain.Sync) ([]domain.Advice, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestPrepareDoesNotWaitLongForPostgres(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCommitting()
		own := c.called(t, "1", 201)
		c.committer.gates = &silentGates{}
		began := time.Now()
		c.Prepare(t.Context(), inSession(own))
		require.Equal(t, gateRereadTimeout, time.Since(began))
		require.Equal(t, []string{"after_send", "success"}, topicsOf(own))
	})
}

func TestCommittedClosesGatesLogsAndReleasesTheOrders(t *testing.T) {
	c := newCommitting()
	success, busy, passedOver := c.called(t, "1", 201), c.called(t, "2", 503), c.task(t, "3")
	broken := &kgo.Record{Topic: "p.requested", Key: []byte("4"), Value: []byte("{")}
	unreadable, err := newTask(&txn.Task{Record: broken}, classRequested, c.cfg.Event(broken))
	require.Error(t, err)
	c.deadLetters.unreadable(unreadable, err)
	second, err := newTask(&txn.Task{Record: success.Record}, classDue, c.cfg.Event(success.Record))
	require.NoError(t, err)
	c.queue.push(second)
	require.Zero(t, c.queue.length(classDue), "its order is busy")

	all := inSession(success, busy, passedOver, unreadable)
	c.Prepare(t.Context(), all)
	before := len(c.lines.Lines())
	c.Committed(all)

	ends := c.gateCloser.take()
	require.Len(t, ends, 1, "only one generation has ended")
	require.Equal(t, "1", ends[0].Sync.OrderIncrementID)
	require.Equal(t, domain.ClosedByAnswer, ends[0].By)
	require.True(t, ends[0].Answered)
	require.Equal(t, []domain.Sync{ends[0].Sync, busy.outcome.After}, c.gates.committed, "what the log has now, of tasks that wrote something")
	require.Equal(t, 1, c.queue.length(classDue), "the order's next task is ready")
	next, ok := c.queue.next()
	require.True(t, ok)
	require.Same(t, second, next)
	require.NotContains(t, c.queue.waiting, "2")
	require.NotContains(t, c.queue.waiting, "3")

	lines := c.lines.Lines()[before:]
	require.Len(t, lines, 4, "one line a record")
	for i, want := range []string{
		`level=INFO msg="order handled" order_increment_id=1`, `level=INFO msg="order handled" order_increment_id=2`,
		`order_increment_id=3`, `outcome=dead_letter`,
	} {
		require.Contains(t, lines[i], want)
	}
	require.Contains(t, lines[0], "outcome=success")
	require.Contains(t, lines[1], "outcome=retry")
	require.Contains(t, lines[1], "next_attempt_at=")
	require.Contains(t, lines[2], "outcome=passed_over")
	require.NotContains(t, strings.Join(lines, ""), "the answer", "the log has no customer's data")
}

// The record is still in the log: the next owner of its partition repeats the attempt.
func TestDroppedReleasesTheOrderAndTellsNobody(t *testing.T) {
	c := newCommitting()
	own := c.called(t, "1", 201)
	c.Prepare(t.Context(), inSession(own))
	c.Dropped(inSession(own))
	require.NotContains(t, c.queue.waiting, "1")
	require.Empty(t, c.gateCloser.take())
	require.Empty(t, c.gates.committed)
	require.Empty(t, c.lines.Lines())
}

func TestRefusedGivesSmallerRecords(t *testing.T) {
	refusal := errors.New("MESSAGE_TOO_LARGE")
	t.Run("a_retry_ends_as_failed_with_a_dead_letter", func(t *testing.T) {
		c := newCommitting()
		own := c.called(t, "1", 503)
		c.Prepare(t.Context(), inSession(own))
		c.Refused(own.Task, refusal, 1)
		require.Equal(t, []string{"after_send", "failed", "dead_letter"}, topicsOf(own))
		after, failed := syncOf(t, own.Records()[0]), syncOf(t, own.Records()[1])
		require.Nil(t, after.Order)
		require.Empty(t, after.Response.Body)
		require.Equal(t, 503, after.Response.Status)
		require.Equal(t, domain.ErrorRecordRefused, failed.Sync.ErrorCode)
		require.Equal(t, 1, failed.Sync.Attempts)
		require.Equal(t, string(own.Record.Value), string(own.Records()[2].Value), "the dead letter has the whole record")

		c.Refused(own.Task, refusal, 2)
		require.Empty(t, own.Records()[len(own.Records())-1].Value, "now the dead letter only names the record")
		c.Prepare(t.Context(), inSession(own))
		require.NotContains(t, topicsOf(own), "retry_1s", "a later try to commit does not bring the old records back")
	})
	t.Run("a_success_stays_one", func(t *testing.T) {
		c := newCommitting()
		own := c.called(t, "1", 201)
		c.Prepare(t.Context(), inSession(own))
		c.Refused(own.Task, refusal, 1)
		require.Equal(t, []string{"after_send", "success"}, topicsOf(own))
		success := syncOf(t, own.Records()[1])
		require.Equal(t, "ERP-1", *success.Sync.ErpReference)
		require.Nil(t, success.Error)
		require.True(t, own.ends[0].Answered)
	})
}
