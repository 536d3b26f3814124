package relay

import (
	"context"
	"fmt"
	"time"

	"github.com/erpconnector/erpconnector/shared/kafka/txn"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/crash"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/position"
)

// session is one leadership, up to the first error: what it knows of the position came from Kafka after fencing, and it
// forgets it with the error. So an unknown outcome of a commit needs no handling of its own.
type session struct {
	p         Params
	producer  *txn.Producer
	reader    *outbox.Reader
	last      int64 // committed to Kafka
	committed bool
	measured  time.Time
}

func openSession(ctx context.Context, p Params) (*session, error) {
	producer, err := openProducer(ctx, p)
	if err != nil {
		return nil, err
	}
	s := &session{p: p, producer: producer, reader: outbox.NewReader(p.Pool, p.Limits)}
	if s.last, err = s.startAt(ctx); err != nil {
		producer.Close()
		return nil, err
	}
	return s, nil
}

func (s *session) close() { s.producer.Close() }

// startAt is the last relayed id. A position beyond the outbox's sequence means that the database was restored to an
// earlier time, or is another one: ids would be given anew, and their rows be taken for relayed.
func (s *session) startAt(ctx context.Context) (int64, error) {
	last, err := position.Read(ctx, s.p.Kafka)
	if err != nil {
		return 0, err
	}
	allotted, err := s.reader.LastID(ctx)
	if err != nil {
		return 0, err
	}
	if last > allotted {
		return 0, fmt.Errorf("%w: Kafka has relayed up to id %d, the sequence erp_outbox_id_seq stands at %d; "+
			"was the database restored from a backup? Set the sequence beyond %d after deciding what to do with rows written since",
			position.ErrUnfit, last, allotted, last)
	}
	return last, nil
}

// run relays batch after batch; the next one is read while the one before commits.
func (s *session) run(ctx context.Context, wake <-chan struct{}) error {
	read := s.last
	var pending <-chan error
	for {
		batch, err := s.reader.Next(ctx, read)
		if pending != nil {
			if failed := <-pending; failed != nil {
				return failed
			}
			pending, s.last, s.committed = nil, read, true
		}
		if err != nil {
			return err
		}
		s.measure(ctx, batch)
		if len(batch.Rows) > 0 {
			crash.Point("relay.read")
			read = batch.Rows[len(batch.Rows)-1].ID
			pending = s.commit(ctx, batch.Rows)
			continue
		}
		wait := pollIdle
		if batch.Blocked {
			wait = pollBusy
		}
		pause(ctx, wait, wake)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// commit starts the transaction of one batch. It outlives the end of ctx by stopTimeout, so that a process that stops
// finishes what it has begun.
func (s *session) commit(ctx context.Context, rows []outbox.Row) <-chan error {
	done := make(chan error, 1)
	go func() {
		commit, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		stop := context.AfterFunc(ctx, func() { time.AfterFunc(stopTimeout, cancel) })
		defer stop()
		done <- s.commitRows(commit, rows)
	}()
	return done
}

func (s *session) commitRows(ctx context.Context, rows []outbox.Row) error {
	began := time.Now()
	records := make([]*kgo.Record, 0, len(rows)+1)
	for _, row := range rows {
		records = append(records, s.record(row))
	}
	last, err := position.Record(rows[len(rows)-1].ID, began)
	if err != nil {
		return err
	}
	last.Topic = s.p.Kafka.Topic(event.TopicPosition)
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	if err := s.producer.Commit(ctx, txn.Batch{Records: append(records, last)}); err != nil {
		return err
	}
	crash.Point("relay.committed")
	batches.Observe(time.Since(began).Seconds())
	relayed.Add(float64(len(rows)))
	s.p.Log.Debug("rows relayed", "rows", len(rows), "last_id", rows[len(rows)-1].ID, "took_ms", time.Since(began).Milliseconds())
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
	if id, err := s.reader.LastID(ctx); err == nil {
		lagRows.Set(float64(id - s.last))
	}
}
