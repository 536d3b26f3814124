package relay

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/checkpoint"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/failpoint"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/reconcile"
	"github.com/erpconnector/erpconnector/shared/run"
)

// session is one leadership, up to the first error. It reads the position from Kafka after fencing, and forgets it
// after the error. So a commit with an unknown result needs no special care: the next session reads the position again.
// A session reads the outbox on one connection. So all that it reads is from one server, which was compared with the
// position, and that server's locks are those of its own writers.
type session struct {
	r          *Relay
	source     *source
	reader     *outbox.Reader
	client     *kgo.Client // of topics and partitions
	health     *kafka.Health
	partitions int // of each keyed topic
	server     outbox.Server
	last       checkpoint.Position // committed to Kafka
	committed  bool
	measured   time.Time
	pace       run.Pace
	underWay   int // rows of the transaction that is under way, or was last
}

func openSession(ctx context.Context, r *Relay) (*session, error) {
	if err := openProducer(ctx, r.producer); err != nil {
		return nil, err
	}
	s := &session{r: r, pace: run.Pace{Rest: restTimes, Max: maxRest}}
	if err := s.begin(ctx); err != nil {
		s.close(ctx)
		return nil, err
	}
	return s, nil
}

func (s *session) close(ctx context.Context) {
	s.r.producer.Close()
	if s.source != nil {
		s.source.close(ctx)
	}
	if s.client != nil {
		s.client.Close()
	}
}

// begin reads the position, and checks that it belongs to this outbox.
func (s *session) begin(ctx context.Context) (err error) {
	if s.r.producer.IsStuck() && !s.r.waitedForFormer && !run.Sleep(ctx, checkpoint.FormerHolderTimeout) {
		return ctx.Err()
	}
	s.r.waitedForFormer = true
	if s.last, err = checkpoint.Read(ctx, s.r.p.Kafka); err != nil {
		return err
	}
	if s.client, err = kgo.NewClient(s.r.p.Kafka.Options()...); err != nil {
		return fmt.Errorf("connecting to Kafka: %w", err)
	}
	s.health = kafka.NewHealth(s.client)
	if s.partitions, err = s.countPartitions(ctx); err != nil {
		return err
	}
	if s.source, err = openSource(ctx, s.r.p.Pool); err != nil {
		return err
	}
	if s.server, err = s.checkServer(ctx); err != nil {
		return err
	}
	s.reader = outbox.NewReader(s.source.conn, outbox.Limits{Rows: s.r.rows, Bytes: s.r.p.Limits.Bytes})
	return nil
}

// countPartitions returns how many partitions the keyed topics have.
func (s *session) countPartitions(ctx context.Context) (int, error) {
	if n := s.r.p.Kafka.Partitions; n > 0 {
		return n, nil
	}
	topic := s.r.p.Kafka.Topic(event.TopicRequested)
	details, err := kadm.NewClient(s.client).ListTopics(ctx, topic)
	if err == nil {
		err = details.Error()
	}
	if err != nil {
		return 0, fmt.Errorf("counting partitions: %w", err)
	}
	return len(details[topic].Partitions), nil
}

// run relays batch after batch. While many rows wait, it reads the next ones while those before commit. Otherwise it reads after the
// commit, so that what comes meanwhile goes into one transaction.
func (s *session) run(ctx context.Context) error {
	read, manyWait, lastRows := s.last, false, time.Now()
	var pending <-chan error
	for {
		if pending != nil && !manyWait {
			if err := s.await(pending, read); err != nil {
				return err
			}
			pending = nil
			if !s.pace.Sleep(ctx) {
				return ctx.Err()
			}
		}
		s.source.woken = false
		batch, err := s.reader.Next(ctx, read.LastID)
		if pending != nil {
			if failed := s.await(pending, read); failed != nil {
				return failed
			}
			pending = nil
		}
		manyWait = batch.Full
		if err == nil {
			err = s.checkLastRow(ctx, read, batch)
		}
		if err == nil {
			read, err = s.catchUp(ctx, read)
		}
		if err != nil {
			return err
		}
		s.measure(ctx, batch)
		if len(batch.Rows) > 0 {
			lastRows = time.Now()
			failpoint.Hit("relay.read")
			var rows []outbox.Row
			if rows, read = s.split(batch.Rows, read); len(rows) > 0 {
				pending, s.underWay = s.commit(ctx, rows, read), len(rows)
			}
			continue
		}
		if err := s.source.wait(ctx, pollAfter(batch.Blocked, time.Since(lastRows))); err != nil {
			return err
		}
	}
}

// pollAfter is when to look again after a read without rows, unless a writer wakes the relay before.
func pollAfter(blocked bool, none time.Duration) time.Duration {
	switch {
	case blocked:
		return busyPollInterval
	case none < quietAfter:
		return idlePollInterval
	default:
		return quietPollInterval
	}
}

// await waits for the end of a transaction up to that position.
func (s *session) await(pending <-chan error, at checkpoint.Position) error {
	if err := <-pending; err != nil {
		return err
	}
	s.last, s.committed = at, true
	if s.underWay >= restRows {
		s.pace.Worked(at.At)
	}
	return nil
}

// positionAt returns the position after the row is in Kafka, or is passed over.
func (s *session) positionAt(row outbox.Row, behind map[string]int64) checkpoint.Position {
	return checkpoint.Position{
		LastID: row.ID, At: time.Now(), Behind: behind, UUID: row.Message.UUID, System: s.server.System, Timeline: s.server.Timeline,
	}
}

// measure sets the metrics of the lag. It reads the sequence once a second at most.
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
	lanesBehind.Set(float64(len(s.last.Behind)))
	if ids, err := outbox.Lag(ctx, s.source.conn, s.last.LastID); err == nil {
		lagRows.Set(float64(ids))
	}
}

// checkServer compares the position with the server. After a failover the server may lack more rows than the last one.
// Then it compares all that was relayed lately, once.
func (s *session) checkServer(ctx context.Context) (outbox.Server, error) {
	server, err := s.last.CheckAt(ctx, s.source.conn)
	if err != nil {
		return server, err
	}
	if err := checkNoOpenRepair(ctx, s.source.conn); err != nil {
		return server, err
	}
	if s.last.Moved(server) {
		return server, s.checkNothingIsLost(ctx, server)
	}
	return server, nil
}

// checkNothingIsLost compares the outbox of a promoted standby with the records in Kafka.
func (s *session) checkNothingIsLost(ctx context.Context, server outbox.Server) error {
	found, err := reconcile.Compare(ctx, reconcile.Params{Kafka: s.r.p.Kafka, On: s.source.conn, Position: s.last})
	if err != nil {
		return fmt.Errorf("comparing the outbox with Kafka after a failover: %w", err)
	}
	if found.Differs() {
		return s.last.Lost(server, len(found.Lost))
	}
	s.r.p.Log.Info("another Postgres server has taken over; it has all that was relayed, and the relay goes on with it",
		"timeline_before", s.last.Timeline, "timeline", server.Timeline, "last_id", s.last.LastID, "records", found.Records)
	return nil
}

// checkLastRow checks that the batch was read after the row that was relayed last. If that row is not there, retention
// may have dropped it; the server's answer decides.
func (s *session) checkLastRow(ctx context.Context, read checkpoint.Position, batch outbox.Batch) error {
	if !batch.Scanned || read.LastID == 0 || batch.After == read.UUID && batch.After != "" {
		return nil
	}
	_, err := read.CheckAt(ctx, s.source.conn)
	return err
}

// checkNoOpenRepair refuses to relay while a repair of the outbox is not finished.
func checkNoOpenRepair(ctx context.Context, conn *pgx.Conn) error {
	var open bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM erp_repair)`).Scan(&open); err != nil {
		return fmt.Errorf("looking for a repair that was interrupted: %w", err)
	}
	if open {
		return fmt.Errorf("%w: a repair has begun and not ended; run `erpconnector repair --yes` again", checkpoint.ErrMismatch)
	}
	return nil
}
