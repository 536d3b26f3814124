package relay

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/checkpoint"
	"github.com/erpconnector/erpconnector/shared/crash"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/reconcile"
)

// session is one leadership, up to the first error: what it knows of the position came from Kafka after fencing, and it
// forgets it with the error. So an unknown outcome of a commit needs no handling of its own. It reads on one connection:
// whatever it sees is of one server, which was compared with the position, and that server's locks tell of its own writers.
type session struct {
	p         Params
	producer  *kafka.TxnProducer
	source    *source
	reader    *outbox.Reader
	server    outbox.Server
	last      checkpoint.Position // committed to Kafka
	committed bool
	measured  time.Time
}

func openSession(ctx context.Context, p Params) (*session, error) {
	producer, err := openProducer(ctx, p)
	if err != nil {
		return nil, err
	}
	s := &session{p: p, producer: producer}
	if err := s.begin(ctx); err != nil {
		s.close(ctx)
		return nil, err
	}
	return s, nil
}

func (s *session) close(ctx context.Context) {
	s.producer.Close()
	if s.source != nil {
		s.source.close(ctx)
	}
}

// begin reads the position, and makes sure that the outbox is the one it speaks of.
func (s *session) begin(ctx context.Context) (err error) {
	if s.last, err = checkpoint.Read(ctx, s.p.Kafka); err != nil {
		return err
	}
	if s.source, err = openSource(ctx, s.p.Pool); err != nil {
		return err
	}
	if s.server, err = s.fits(ctx); err != nil {
		return err
	}
	s.reader = outbox.NewReader(s.source.conn, s.p.Limits)
	return nil
}

// run relays batch after batch; the next one is read while the one before commits.
func (s *session) run(ctx context.Context) error {
	read := s.last
	var pending <-chan error
	for {
		s.source.woken = false
		batch, err := s.reader.Next(ctx, read.LastID)
		if pending != nil {
			if failed := <-pending; failed != nil {
				return failed
			}
			pending, s.last, s.committed = nil, read, true
		}
		if err == nil {
			err = s.goesOn(ctx, read, batch)
		}
		if err != nil {
			return err
		}
		s.measure(ctx, batch)
		if len(batch.Rows) > 0 {
			crash.Point("relay.read")
			read = s.positionAt(batch.Rows[len(batch.Rows)-1])
			pending = s.commit(ctx, batch.Rows, read)
			continue
		}
		wait := pollIdle
		if batch.Blocked {
			wait = pollBusy
		}
		if err := s.source.wait(ctx, wait); err != nil {
			return err
		}
	}
}

// positionAt is the position once the row is in Kafka.
func (s *session) positionAt(row outbox.Row) checkpoint.Position {
	return checkpoint.Position{LastID: row.ID, At: time.Now(), UUID: row.Message.UUID, System: s.server.System, Timeline: s.server.Timeline}
}

// commit starts the transaction of one batch. It outlives the end of ctx by stopTimeout, so that a process that stops
// finishes what it has begun.
func (s *session) commit(ctx context.Context, rows []outbox.Row, at checkpoint.Position) <-chan error {
	done := make(chan error, 1)
	go func() {
		commit, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		stop := context.AfterFunc(ctx, func() { time.AfterFunc(stopTimeout, cancel) })
		defer stop()
		done <- s.commitRows(commit, rows, at)
	}()
	return done
}

func (s *session) commitRows(ctx context.Context, rows []outbox.Row, at checkpoint.Position) error {
	records := make([]*kgo.Record, 0, len(rows)+1)
	for _, row := range rows {
		records = append(records, s.record(row))
	}
	position, err := at.Record()
	if err != nil {
		return err
	}
	position.Topic = s.p.Kafka.Topic(event.TopicPosition)
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	if err := s.producer.Commit(ctx, kafka.Batch{Records: append(records, position)}); err != nil {
		return err
	}
	crash.Point("relay.committed")
	batches.Observe(time.Since(at.At).Seconds())
	relayed.Add(float64(len(rows)))
	s.p.Log.Debug("rows relayed", "rows", len(rows), "last_id", at.LastID, "took_ms", time.Since(at.At).Milliseconds())
	return nil
}

// measure keeps the lag, read from the sequence at most once a second.
func (s *session) measure(ctx context.Context, batch outbox.Batch) {
	switch {
	case len(batch.Rows) > 0:
		lagSeconds.Set(time.Since(batch.Rows[0].CreatedAt).Seconds())
	case !batch.Blocked:
		lagSeconds.Set(0)
	}
	if time.Since(s.measured) < time.Second {
		return
	}
	s.measured = time.Now()
	if ids, err := outbox.Lag(ctx, s.source.conn, s.last.LastID); err == nil {
		lagRows.Set(float64(ids))
	}
}

// fits compares the position with the server that answers. A server that took the place of the one that was relayed from
// may lack more than the last row tells of: then all that was relayed of late is looked for, once.
func (s *session) fits(ctx context.Context) (outbox.Server, error) {
	server, err := s.last.CheckAt(ctx, s.source.conn)
	if err != nil {
		return server, err
	}
	if err := noRepairIsOpen(ctx, s.source.conn); err != nil {
		return server, err
	}
	if s.last.Moved(server) {
		return server, s.nothingIsLost(ctx, server)
	}
	return server, nil
}

func (s *session) nothingIsLost(ctx context.Context, server outbox.Server) error {
	found, err := reconcile.Compare(ctx, reconcile.Params{Kafka: s.p.Kafka, On: s.source.conn, Last: s.last.LastID})
	if err != nil {
		return fmt.Errorf("comparing the outbox with Kafka after a failover: %w", err)
	}
	if found.Differs() {
		return s.last.Lost(server, len(found.Lost))
	}
	s.p.Log.Info("another Postgres server has taken over; it has all that was relayed, and the relay goes on with it",
		"timeline_before", s.last.Timeline, "timeline", server.Timeline, "last_id", s.last.LastID, "records", found.Records)
	return nil
}

// goesOn makes sure that the row which was relayed last is still the one that the batch was read after. Retention may have
// dropped it: then the server is asked once more.
func (s *session) goesOn(ctx context.Context, read checkpoint.Position, batch outbox.Batch) error {
	if !batch.Looked || read.LastID == 0 || batch.After == read.UUID && batch.After != "" {
		return nil
	}
	_, err := read.CheckAt(ctx, s.source.conn)
	return err
}

func noRepairIsOpen(ctx context.Context, conn *pgx.Conn) error {
	var open bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM erp_repair)`).Scan(&open); err != nil {
		return fmt.Errorf("looking for a repair that was interrupted: %w", err)
	}
	if open {
		return fmt.Errorf("%w: a repair has begun and not ended; run `erpconnector repair --yes` again", checkpoint.ErrMismatch)
	}
	return nil
}
