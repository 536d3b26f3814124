package orders

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// morgue is a shelf with a dead-letter topic.
type morgue struct {
	*shelf
	cfg    kafka.Config
	client *kgo.Client
	offset int64 // of the last record that was buried
}

func setupMorgue(t *testing.T) *morgue {
	t.Helper()
	cfg := testkit.EmbeddedBroker(t)
	testkit.Topic(t, cfg, event.TopicDeadLetter)
	client, err := kgo.NewClient(cfg.Options()...)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return &morgue{shelf: setup(t), cfg: cfg, client: client}
}

// buried makes the order's request a dead letter, as its consumer does, and lists it, as the projector does.
func (m *morgue) buried(t *testing.T, by deadletter.Writer) (id int64, request event.Record) {
	t.Helper()
	sync := m.gate(t).RequestedSync(nil, "evt")
	request, err := event.NewSync(event.TopicRequested, event.Sync{Sync: sync}, event.Context{At: start})
	require.NoError(t, err)
	record := m.cfg.Record(request)
	m.offset++
	record.Value, record.Offset = []byte("{"), m.offset
	request.Value = record.Value
	written, err := m.client.ProduceSync(t.Context(), deadletter.Record(m.cfg, record, deadletter.Cause{By: by, Reason: "no JSON"})).First()
	require.NoError(t, err)
	letter := deadletter.Read(m.cfg, written)
	require.NoError(t, pgx.BeginFunc(t.Context(), m.pool, func(tx pgx.Tx) error {
		return deadletter.Add(t.Context(), tx, []deadletter.Letter{letter}, deadletter.ToJudge)
	}))
	return letter.ID, request
}

func (m *morgue) judge(t *testing.T) (stopped []Stopped, left bool) {
	t.Helper()
	stopped, left, err := JudgeDeadLetters(t.Context(), m.pool, m.now)
	require.NoError(t, err)
	return stopped, left
}

func (m *morgue) redrive(t *testing.T, id int64) (deadletter.Entry, error) {
	t.Helper()
	return m.Redrive(t.Context(), m.cfg, DeadLetterRequest{ID: id, Who: "me", Reason: "mended"})
}

func TestADeadLetterStopsItsOrderAndARedriveStartsItAgain(t *testing.T) {
	t.Parallel()
	m := setupMorgue(t)
	m.in(t, domain.StateQueued)
	m.facts(t)
	id, request := m.buried(t, deadletter.BySyncer)
	stopped, left := m.judge(t)
	require.False(t, left)
	require.Len(t, stopped, 1)
	require.Equal(t, []any{id, domain.Failed, 1}, []any{stopped[0].DeadLetter.ID, stopped[0].Sync.Status, stopped[0].Sync.Generation})
	require.Equal(t, domain.ClosedByDeadLetter, m.gate(t).ClosedBy)
	require.Equal(t, []string{"callback failed, generation 1"}, m.facts(t))
	stopped, _ = m.judge(t)
	require.Empty(t, stopped, "it is judged once")

	e, err := m.redrive(t, id)
	require.NoError(t, err)
	require.Equal(t, []any{deadletter.Redriven, "me", "mended"}, []any{e.State, *e.DecidedBy, *e.Decision})
	require.Equal(t, domain.GateOpen, m.gate(t).State)
	rows, err := m.pool.Query(t.Context(), `SELECT topic, uuid, payload FROM erp_outbox ORDER BY id`)
	require.NoError(t, err)
	type row struct {
		Topic, UUID string
		Payload     []byte
	}
	written, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	require.NoError(t, err)
	require.Len(t, written, 2, "the fact of the redrive, and the record")
	require.Equal(t, event.TopicCallback, written[0].Topic)
	require.Equal(t, row{event.TopicRequested, request.UUID, request.Value}, written[1])

	_, err = m.redrive(t, id)
	require.ErrorContains(t, err, "was redriven by me at")
	_, err = m.Discard(t.Context(), DeadLetterRequest{ID: id, Who: "me", Reason: "late"})
	require.ErrorContains(t, err, "was redriven by me at")
}

// Symptom: a record that nobody could read went back and came back as often as somebody asked, or a script did.
func TestARecordThatCameBackTwiceNeedsForce(t *testing.T) {
	t.Parallel()
	m := setupMorgue(t)
	m.in(t, domain.StateQueued)
	for n := range 2 {
		id, _ := m.buried(t, deadletter.BySyncer)
		m.judge(t)
		e, err := m.redrive(t, id)
		require.NoError(t, err)
		require.Equal(t, n, e.Redrives)
	}
	id, _ := m.buried(t, deadletter.BySyncer)
	m.judge(t)
	_, err := m.redrive(t, id)
	var refused *DeadLetterError
	require.ErrorAs(t, err, &refused)
	require.Contains(t, refused.Why, "was sent back 2 times, and came back each time, now because: no JSON")
	require.Contains(t, refused.Why, "force")
	require.Equal(t, domain.ClosedByDeadLetter, m.gate(t).ClosedBy)

	e, err := m.Redrive(t.Context(), m.cfg, DeadLetterRequest{ID: id, Who: "me", Reason: "mended at last", Force: true})
	require.NoError(t, err)
	require.Equal(t, []any{deadletter.Redriven, 2}, []any{e.State, e.Redrives})
	var cause, status string
	require.NoError(t, m.pool.QueryRow(t.Context(), `SELECT f #>> '{sync,cause}', f #>> '{sync,status}' FROM (
		SELECT convert_from(payload, 'UTF8')::jsonb AS f FROM erp_outbox WHERE topic = $1 ORDER BY id DESC LIMIT 1) AS last`, event.TopicCallback).Scan(&cause, &status))
	require.Equal(t, fmt.Sprintf("redrive of dead letter %d (redriven before: 2) by me: mended at last", id), cause)
	require.Equal(t, string(domain.Queued), status)

	m.buried(t, deadletter.BySyncer)
	m.judge(t)
	m.resync(t, false)
	id, _ = m.buried(t, deadletter.BySyncer)
	m.judge(t)
	e, err = m.redrive(t, id)
	require.NoError(t, err)
	require.Zero(t, e.Redrives, "the record of another generation is another record")
}

// Symptom: after an incident an operator redrove hundreds of dead letters one by one, and saw what was refused only by doing it.
func TestWhatIsSelectedIsShownFirstAndThenRedriven(t *testing.T) {
	t.Parallel()
	m := setupMorgue(t)
	m.in(t, domain.StateQueued)
	id, _ := m.buried(t, deadletter.BySyncer)
	m.judge(t)
	other, _ := m.buried(t, "warehouse")
	m.judge(t)
	m.facts(t)
	f, wrong := deadletter.Words{State: "all", Cause: "json"}.Filter()
	require.Empty(t, wrong)
	f.Limit = 10
	bulk := Bulk{Filter: f, DryRun: true, DeadLetterRequest: DeadLetterRequest{Who: "me", Reason: "mended"}}
	off := setting.Defaults()
	off.Enabled = false
	was := m.settings
	m.settings = setting.Fixed(off)
	seen, err := m.RedriveAll(t.Context(), m.cfg, bulk)
	require.NoError(t, err, "nothing is sent, so the connector may be off")
	m.settings = was
	require.Equal(t, []any{int64(2), false, 2}, []any{seen.Selected, seen.More, len(seen.Letters)})
	require.Equal(t, []any{id, "", deadletter.Open}, []any{seen.Letters[0].ID, seen.Letters[0].Refused, seen.Letters[0].State})
	require.Equal(t, other, seen.Letters[1].ID)
	require.Contains(t, seen.Letters[1].Refused, "has stopped no order")
	require.Empty(t, m.facts(t))
	require.Equal(t, domain.ClosedByDeadLetter, m.gate(t).ClosedBy, "a preview does nothing")

	bulk.DryRun = false
	done, err := m.RedriveAll(t.Context(), m.cfg, bulk)
	require.NoError(t, err)
	require.Equal(t, []any{deadletter.Redriven, "", seen.Letters[1].Refused}, []any{done.Letters[0].State, done.Letters[0].Refused, done.Letters[1].Refused})
	require.Equal(t, domain.GateOpen, m.gate(t).State)

	bulk.Filter.Limit = 1
	rest, err := m.DiscardAll(t.Context(), bulk)
	require.NoError(t, err)
	require.Equal(t, []any{int64(1), false, other, deadletter.Discarded}, []any{rest.Selected, rest.More, rest.Letters[0].ID, rest.Letters[0].State}, "what was redriven is decided")
	rest, err = m.DiscardAll(t.Context(), bulk)
	require.NoError(t, err)
	require.Empty(t, rest.Letters)
}

func TestWhatIsNotSentBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		by     deadletter.Writer
		before func(t *testing.T, m *morgue) // the judgement
		after  func(t *testing.T, m *morgue)
		want   string
	}{
		"a_record_that_still_stands": {by: deadletter.ByProjector, want: "sent back, it would be there twice"},
		"one_of_a_subscriber":        {by: "warehouse", want: "has stopped no order"},
		"an_order_that_had_ended": {
			by: deadletter.BySyncer, before: func(t *testing.T, m *morgue) { t.Helper(); m.answered(t, "ERP-1") }, want: "has stopped no order",
		},
		"an_order_that_was_resynced": {
			by: deadletter.BySyncer, after: func(t *testing.T, m *morgue) { t.Helper(); m.resync(t, false) }, want: "was discarded by",
		},
		"a_record_of_which_the_projection_knows_more": {
			by: deadletter.BySyncer, want: "has gone on or ended otherwise since",
			after: func(t *testing.T, m *morgue) {
				t.Helper()
				_, err := m.pool.Exec(t.Context(), `INSERT INTO vendor_erp_sync (sync_id, order_increment_id, source, status, attempts, max_attempts,
					idempotency_key, created_at, updated_at, generation, attempt_version, attempt_version_at, version, version_at, reference_version)
					VALUES (1, '1', 'default', 'failed', 1, 3, 'k', now(), now(), 1, $1, now(), $1, now(), 0)`, int64(domain.AttemptVersion(9, 1, domain.PhaseTerminal)))
				require.NoError(t, err)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := setupMorgue(t)
			m.in(t, domain.StateQueued)
			if c.before != nil {
				c.before(t, m)
			}
			id, _ := m.buried(t, c.by)
			m.judge(t)
			if c.after != nil {
				c.after(t, m)
			}
			m.facts(t)
			gate := m.gate(t)
			_, err := m.redrive(t, id)
			var refused *DeadLetterError
			require.ErrorAs(t, err, &refused)
			require.Contains(t, refused.Why, c.want)
			require.Empty(t, m.facts(t))
			require.Equal(t, gate, m.gate(t))
		})
	}
}

// Somebody who holds the gate may be about to end the generation. The dead letter waits for that.
func TestAJudgementWaitsForNobody(t *testing.T) {
	t.Parallel()
	m := setupMorgue(t)
	m.in(t, domain.StateQueued)
	m.buried(t, deadletter.BySyncer)
	holder, err := m.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = holder.Rollback(context.WithoutCancel(t.Context())) }()
	_, err = holder.Exec(t.Context(), `SELECT FROM erp_sync_gate FOR UPDATE`)
	require.NoError(t, err)
	stopped, left := m.judge(t)
	require.Empty(t, stopped)
	require.True(t, left)
	require.NoError(t, holder.Rollback(t.Context()))
	stopped, left = m.judge(t)
	require.Len(t, stopped, 1)
	require.False(t, left)
}

func TestADeadLetterOfAnUnknownOrderStopsNothing(t *testing.T) {
	t.Parallel()
	m := setupMorgue(t)
	m.in(t, domain.StateQueued)
	id, _ := m.buried(t, deadletter.BySyncer)
	_, err := m.pool.Exec(t.Context(), `DELETE FROM erp_sync_gate`)
	require.NoError(t, err)
	stopped, left := m.judge(t)
	require.Empty(t, stopped)
	require.False(t, left, "nothing is to be waited for")
	e, err := deadletter.Get(t.Context(), m.pool, id)
	require.NoError(t, err)
	require.Nil(t, e.Generation)
}

func TestDiscardLeavesTheOrderFailed(t *testing.T) {
	t.Parallel()
	m := setupMorgue(t)
	m.in(t, domain.StateQueued)
	id, _ := m.buried(t, deadletter.BySyncer)
	m.judge(t)
	m.facts(t)
	for _, reason := range []string{"", "  ", "a\x00b"} {
		_, err := m.Discard(t.Context(), DeadLetterRequest{ID: id, Who: "me", Reason: reason})
		require.ErrorContains(t, err, "/reason", "%q", reason)
	}
	e, err := m.Discard(t.Context(), DeadLetterRequest{ID: id, Who: "me", Reason: "no use"})
	require.NoError(t, err)
	require.Equal(t, deadletter.Discarded, e.State)
	require.Equal(t, m.now(), *e.DecidedAt)
	require.Empty(t, m.facts(t))
	require.Equal(t, domain.ClosedByDeadLetter, m.gate(t).ClosedBy)
	_, err = m.Discard(t.Context(), DeadLetterRequest{ID: 99, Who: "me", Reason: "no use"})
	require.ErrorIs(t, err, deadletter.ErrUnknown)
}

func TestRedriveNeedsTheConnectorAndTheTopic(t *testing.T) {
	t.Parallel()
	m := setupMorgue(t)
	m.in(t, domain.StateQueued)
	id, _ := m.buried(t, deadletter.BySyncer)
	m.judge(t)
	_, err := m.redrive(t, 99)
	require.ErrorIs(t, err, deadletter.ErrUnknown)
	_, err = m.Redrive(t.Context(), testkit.EmbeddedBroker(t), DeadLetterRequest{ID: id, Who: "me", Reason: "mended"})
	require.ErrorIs(t, err, ErrTopic, "another cluster does not have it")
	off := setting.Defaults()
	off.Enabled = false
	m.settings = setting.Fixed(off)
	_, err = m.redrive(t, id)
	require.ErrorIs(t, err, ErrDisabled)
	require.Equal(t, domain.ClosedByDeadLetter, m.gate(t).ClosedBy)
}

// A database that was restored has lost callbacks that are in the log. After the repair they must not settle a second time.
func TestARememberedCallbackIsKnownWhenItComesAgain(t *testing.T) {
	t.Parallel()
	const body = `{"status": "accepted", "erpReference": "ERP-7"}`
	remember := func(t *testing.T, s *shelf, change func(v *event.Sync)) {
		t.Helper()
		v := event.Sync{Sync: s.gate(t).RequestedSync(nil, "webhook"), Response: &event.Response{Body: body}}
		change(&v)
		require.NoError(t, pgx.BeginFunc(t.Context(), s.pool, func(tx pgx.Tx) error { return RememberCallback(t.Context(), tx, v, start.Add(time.Minute)) }))
	}
	for name, c := range map[string]struct {
		change func(v *event.Sync)
		want   domain.Settled
	}{
		"as_it_was":              {func(*event.Sync) {}, domain.SettledRepeated},
		"an_answer_of_the_ERP":   {func(v *event.Sync) { v.Response.Status = 200 }, domain.SettledNow},
		"longer_than_is_kept":    {func(v *event.Sync) { v.Response.Truncated = true }, domain.SettledNow},
		"a_fact_without_a_body":  {func(v *event.Sync) { v.Response = nil }, domain.SettledNow},
		"a_body_that_is_no_JSON": {func(v *event.Sync) { v.Response.Body = "{" }, domain.SettledNow},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			s.sent(t, "")
			remember(t, s, c.change)
			s.answered(t, "ERP-1")
			s.resync(t, true)
			require.Equal(t, c.want, s.hears(t, said{body: body, reference: "ERP-7"}))
		})
	}
}
