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
	late       outbox.Gaps         // rows in the position's gaps that wait for their lanes
	committed  bool
	measured   time.Time
	quiet      bool // no row waited when it was measured last, and none came since
	waiting    bool // rows wait behind too many gaps, and the log says so
	pace       pace
	topics     map[string]string // with the prefix
}

func openSession(ctx context.Context, r *Relay) (*session, error) {
	if err := openProducer(ctx, r.producer); err != nil {
		return nil, err
	}
	s := &session{r: r, pace: newPace(), topics: map[string]string{}}
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
// commit, so that what comes meanwhile goes into one transaction, and once there may be something to read.
func (s *session) run(ctx context.Context) error {
	read, manyWait, lastRows, looked := s.last, false, time.Now(), time.Time{}
	var pending <-chan error
	for {
		if pending != nil && (!manyWait || s.anyLane(read)) {
			if err := s.await(pending, read); err != nil {
				return err
			}
			pending = nil
			if err := s.rest(ctx, manyWait, read, looked); err != nil {
				return err
			}
		}
		looked = time.Now()
		s.source.setWoken(false)
		batch, next, err := s.next(ctx, read)
		if pending != nil {
			if failed := s.await(pending, read); failed != nil {
				return failed
			}
			pending = nil
		}
		if err != nil {
			return err
		}
		manyWait = batch.Full || len(batch.Rows) >= manyRows
		s.measure(ctx, batch)
		var rows []outbox.Row
		if rows, read = s.split(batch, next); len(rows) > 0 {
			failpoint.Hit("relay.read")
			s.pace.begins(len(rows), looked)
			pending = s.commit(ctx, rows, read)
		}
		if len(batch.Rows) > 0 {
			lastRows = time.Now()
			continue
		}
		if err := s.source.wait(ctx, pollAfter(len(read.Open) > 0, time.Since(lastRows))); err != nil {
			return err
		}
	}
}

// rest waits after a transaction when the last look found no more rows than it took: until a writer wakes the relay, or it is time to
// look for rows of writers that do not.
func (s *session) rest(ctx context.Context, manyWait bool, read checkpoint.Position, looked time.Time) error {
	switch {
	case manyWait:
		return nil
	case !s.pace.sleep(ctx):
		return ctx.Err()
	case s.anyLane(read):
		return nil
	default:
		return s.source.wait(ctx, pollAfter(len(read.Open) > 0, 0)-time.Since(looked))
	}
}

// anyLane reports whether there may be rows to catch up on. No other transaction may be under way then.
func (s *session) anyLane(read checkpoint.Position) bool {
	return len(read.Behind) > 0 || s.r.lanes.Any()
}

// next catches up with the lanes that go on, and reads the next batch. It returns the position that the batch is after.
func (s *session) next(ctx context.Context, read checkpoint.Position) (outbox.Batch, checkpoint.Position, error) {
	if s.anyLane(read) {
		var err error
		if read, err = s.catchUp(ctx, read); err != nil {
			return outbox.Batch{}, read, err
		}
	}
	batch, err := s.reader.Next(ctx, outbox.Cursor{After: read.LastID, Open: read.Open.Without(s.late)})
	if err == nil {
		err = s.checkLastRow(ctx, read, batch)
	}
	return batch, read, err
}

// pollAfter is when to look again after a read without rows, unless a writer wakes the relay before.
func pollAfter(gaps bool, none time.Duration) time.Duration {
	switch {
	case gaps && none < busyFor:
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
	s.pace.ended()
	return nil
}

// positionAfter returns the position after the rows of a batch are in Kafka, or are passed over.
func (s *session) positionAfter(batch outbox.Batch, read checkpoint.Position) checkpoint.Position {
	at := read
	at.Open = batch.Next.Open.And(s.late)
	if batch.Next.After > read.LastID {
		at.LastID, at.UUID = batch.Next.After, string(batch.Rows[len(batch.Rows)-1].UUID)
	}
	if len(batch.Rows) > 0 {
		at.At, at.System, at.Timeline = time.Now(), s.server.System, s.server.Timeline
	}
	return at
}

// measure sets the metrics of the lag. It reads the sequence at intervals.
func (s *session) measure(ctx context.Context, batch outbox.Batch) {
	switch {
	case len(batch.Rows) > 0:
		lagSeconds.Set(time.Since(batch.Rows[0].CreatedAt).Seconds())
	case !batch.Blocked:
		lagSeconds.Set(0)
	}
	if batch.Blocked != s.waiting {
		s.waiting = batch.Blocked
		s.logGaps(batch.Next)
	}
	quiet := len(batch.Rows) == 0 && !batch.Blocked && len(batch.Next.Open) == 0
	s.quiet = s.quiet && quiet
	every := measureInterval
	if s.quiet {
		every = quietMeasureInterval
	}
	if time.Since(s.measured) < every {
		return
	}
	s.measured, s.quiet = time.Now(), quiet
	lanesBehind.Set(float64(len(s.last.Behind)))
	gaps.Set(float64(len(batch.Next.Open)))
	if ids, err := outbox.Lag(ctx, s.source.conn, s.last.LastID); err == nil {
		lagRows.Set(float64(ids))
	}
}

func (s *session) logGaps(at outbox.Cursor) {
	if s.waiting {
		s.r.p.Log.Warn("rows wait: a transaction that writes to the outbox is open for too long; look for it in pg_stat_activity and end it",
			"gaps", len(at.Open), "last_id", at.After)
		return
	}
	s.r.p.Log.Info("rows go on past the gaps", "gaps", len(at.Open), "last_id", at.After)
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
	if read.LastID == 0 || batch.Last == read.UUID && batch.Last != "" {
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
