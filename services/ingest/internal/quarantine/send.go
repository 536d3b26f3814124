package quarantine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/services/ingest/internal/accept"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// Sent is what became of an entry that was sent again.
type Sent struct {
	ID     int64
	Result accept.Result // what was not taken is still in the quarantine, with the new reason
}

// sendAtOnce bounds a transaction, as each entry may lock another gate.
const sendAtOnce = 500

// Sender sends entries again.
type Sender struct {
	Pool     *pgxpool.Pool
	Accepter *accept.Accepter
	Source   string // the one shop whose entries and events may be sent; empty: all
	DryRun   bool   // nothing is done: the results are what would become of them
}

// errDryRun ends a transaction that must change nothing.
var errDryRun = errors.New("nothing is to be done")

// Send gives entries to accept once more, in the order of their ids. Those that are accepted, or were accepted meanwhile, leave the
// quarantine in the same transaction. The answer leaves out entries that somebody else is sending, and ids that are not there.
func (s Sender) Send(ctx context.Context, ids []int64) ([]Sent, error) {
	var sent []Sent
	for len(ids) > 0 {
		n := min(sendAtOnce, len(ids))
		some, err := s.send(ctx, ids[:n])
		sent = append(sent, some...)
		if err != nil {
			return sent, err
		}
		ids = ids[n:]
	}
	return sent, nil
}

// SendCorrected gives accept another event in place of the entry's. When that one is accepted, or was before, the entry leaves the
// quarantine; otherwise the entry stays as it was.
func (s Sender) SendCorrected(ctx context.Context, id int64, corrected []byte) (Sent, error) {
	sent := Sent{ID: id}
	err := postgres.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		in := accept.Incoming{Body: corrected, Source: s.Source}
		err := tx.QueryRow(ctx, `SELECT coalesce(traceparent, '') FROM commerce_quarantine WHERE id = $1 AND ($2 = '' OR source = $2) FOR UPDATE`, id, s.Source).
			Scan(&in.Traceparent)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrNotThere
		}
		if err != nil {
			return err
		}
		results, err := s.Accepter.AcceptIn(ctx, tx, []accept.Incoming{in})
		if err != nil {
			return err
		}
		if sent.Result = results[0]; !sent.Result.Result.Taken() {
			return nil
		}
		_, err = tx.Exec(ctx, `DELETE FROM commerce_quarantine WHERE id = $1`, id)
		return err
	})
	if postgres.IsAboutData(err) {
		return Sent{id, refusedBy(err)}, nil
	}
	if err != nil {
		return Sent{}, fmt.Errorf("sending a correction of entry %d: %w", id, err)
	}
	outbox.Wake(ctx, s.Pool)
	s.Accepter.Log(ctx, []accept.Result{sent.Result})
	return sent, nil
}

// send halves a batch that the database refuses, until it has found the entry.
func (s Sender) send(ctx context.Context, ids []int64) (sent []Sent, err error) {
	err = postgres.InTx(ctx, s.Pool, func(tx pgx.Tx) (err error) {
		if sent, err = s.sendIn(ctx, tx, ids); err == nil && s.DryRun {
			return errDryRun
		}
		return err
	})
	switch {
	case errors.Is(err, errDryRun):
		return sent, nil
	case err == nil:
		outbox.Wake(ctx, s.Pool)
		for _, one := range sent {
			s.Accepter.Log(ctx, []accept.Result{one.Result})
		}
		return sent, nil
	case !postgres.IsAboutData(err):
		return nil, fmt.Errorf("sending %d quarantined events: %w", len(ids), err)
	case len(ids) == 1:
		result := refusedBy(err)
		if s.DryRun {
			return []Sent{{ids[0], result}}, nil
		}
		return []Sent{{ids[0], result}}, refuse(ctx, s.Pool, ids[0], Failed, result)
	}
	first, err := s.send(ctx, ids[:len(ids)/2])
	if err != nil {
		return first, err
	}
	second, err := s.send(ctx, ids[len(ids)/2:])
	return append(first, second...), err
}

// refusedBy is the result of an event that the database refuses.
func refusedBy(err error) accept.Result {
	return accept.Result{Result: accept.Refused, Errors: []problem.FieldError{{Code: problem.CodeInvalid, Detail: err.Error()}}}
}

// A payload that is too large stays on the server. An event that is refused for its size takes its place. An event of HTTP is sent with
// the right of who sent it first: a shop's token does not come to events of another shop because somebody sends them for it.
const lockQuery = `
SELECT id, coalesce(traceparent, ''), CASE door WHEN 'http' THEN source ELSE $3 END,
	octet_length(payload), CASE WHEN octet_length(payload) <= $2 THEN payload ELSE '' END
FROM commerce_quarantine WHERE id = ANY($1::bigint[]) AND ($3 = '' OR source = $3) ORDER BY id FOR UPDATE SKIP LOCKED`

// sendIn is one try in one transaction: the entries are locked, given to accept, and deleted or given their new reason.
func (s Sender) sendIn(ctx context.Context, tx pgx.Tx, ids []int64) ([]Sent, error) {
	rows, err := tx.Query(ctx, lockQuery, ids, event.MaxEventBytes, s.Source)
	if err != nil {
		return nil, err
	}
	var sent []Sent
	var incoming []accept.Incoming
	large := map[int64]bool{}
	var id int64
	var size int
	var in accept.Incoming
	_, err = pgx.ForEachRow(rows, []any{&id, &in.Traceparent, &in.Source, &size, &in.Body}, func() error {
		sent, incoming = append(sent, Sent{ID: id}), append(incoming, in)
		in.Body = nil // the next row's must not share it
		large[id] = size > event.MaxEventBytes
		return nil
	})
	if err != nil || len(sent) == 0 {
		return nil, err
	}
	results, err := s.Accepter.AcceptIn(ctx, tx, incoming)
	if err != nil {
		return nil, err
	}
	var done []int64
	for i, r := range results {
		sent[i].Result = r
		if r.Result.Taken() {
			done = append(done, sent[i].ID)
			continue
		}
		code := Entry{}.With(r).Code
		if large[sent[i].ID] {
			code = TooLarge
			sent[i].Result.Errors = []problem.FieldError{SizeError()}
		}
		if err := refuse(ctx, tx, sent[i].ID, code, sent[i].Result); err != nil {
			return nil, err
		}
	}
	_, err = tx.Exec(ctx, `DELETE FROM commerce_quarantine WHERE id = ANY($1::bigint[])`, done)
	return sent, err
}

// refuse notes the new reason.
func refuse(ctx context.Context, on postgres.Execer, id int64, code Code, r accept.Result) error {
	problems, err := domain.EncodeJSON(r.Errors)
	if err != nil {
		return fmt.Errorf("encoding the reasons of entry %d: %w", id, err)
	}
	_, err = on.Exec(ctx, `UPDATE commerce_quarantine SET code = $2, order_key = CASE door WHEN 'outbox' THEN nullif($3, '') END, problems = $4,
		tries = tries + 1, event_id = coalesce(nullif($5, ''), event_id), about_order = coalesce(nullif($6, ''), about_order), quarantined_at = now()
		WHERE id = $1`, id, code, r.UnknownOrder, json.RawMessage(problems), r.EventID, aboutOrder(r))
	if err != nil {
		return fmt.Errorf("keeping entry %d in the quarantine: %w", id, err)
	}
	return nil
}
