// Package repair brings the database and Kafka together again after their histories parted: a standby that lagged took the
// place of its primary, or the database was restored to an earlier time.
//
// What Kafka was given and the database has lost is taken back from Kafka: accepted events, snapshots, gates, which callbacks
// were heard, and the outbox rows themselves; the projection reads on by itself. What was accepted a second time meanwhile is
// not relayed a second time. Each step can be made again, so a repair that is interrupted is simply begun anew: until its end, a
// row in erp_repair keeps the relay from starting, and remembers from where in the log the comparison must begin.
//
// No relay works meanwhile: a repair holds the relay's lease. Everything else may go on.
package repair

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/checkpoint"
	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/failpoint"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/txn"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/reconcile"
	"github.com/erpconnector/erpconnector/shared/run"
)

const (
	leaseTimeout  = 15 * time.Second // a relay that refuses to work holds its lease for a moment, and again when it is restarted
	leaseInterval = 100 * time.Millisecond
	openTimeout   = 10 * time.Second
	commitTimeout = 15 * time.Second
	gapTimeout    = time.Minute
	maxRounds     = 10 // of comparing and mending; the second one finds what came while the first one worked
)

// Params say what is repaired, and how.
type Params struct {
	Kafka kafka.Config
	Pool  *pgxpool.Pool
	Log   *slog.Logger

	Mend       bool // false: only look
	ThisServer bool // mend though the server is another cluster, or was replaced by another one
	Limit      int  // orders that are listed; 0: all

	MaxAttempts int // of requests that the repair makes
}

// Report is what is at odds, or was.
type Report struct {
	Position checkpoint.Position
	Server   outbox.Server
	Mismatch error // why the relay does not start; nil: it does

	Since     time.Time // of the log; zero: from its start
	Records   int       // of the log, that were compared
	Lost      int       // records that the database had lost
	Again     int       // rows of what Kafka had already
	Reused    int       // rows under ids that were given before
	Renamed   int       // orders that take their sync id from the log
	Requested int       // orders whose invoice was in Kafka and whose request was lost, requested by the repair
	Open      bool      // an earlier repair was interrupted
	Orders    []*Order  // those concerned, in the order of their keys
	OrdersIn  int       // how many there are, listed or not

	Mended bool
}

// Fits reports whether there is nothing to mend.
func (r *Report) Fits() bool { return r.Mismatch == nil && !r.Open && r.Lost+r.Again+r.Reused == 0 }

// ErrBusy means that a relay works: so position and outbox fit.
var ErrBusy = errors.New("a relay works on this database, so its position fits: stop the relay to compare all the same")

// ErrOtherServer means that the server is another cluster: only Params.ThisServer allows to write to it.
var ErrOtherServer = errors.New("DATABASE_URL may be the wrong server: look twice, and say --this-server if it is the right one")

// repairer is one run.
type repairer struct {
	Params

	report *Report
	orders map[string]*Order
	open   *openRepair
}

// openRepair is the row in erp_repair.
type openRepair struct{ since time.Time }

// Run looks, and mends where asked to.
func Run(ctx context.Context, p Params) (*Report, error) {
	release, err := p.lease(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	r := &repairer{Params: p, report: &Report{}, orders: map[string]*Order{}}
	if !p.Mend {
		return r.report, r.look(ctx, nil)
	}
	producer := txn.NewProducer(p.Kafka, checkpoint.TransactionalID)
	defer producer.Close()
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := producer.Open(opening); err != nil { // ends what a relay elsewhere is about to commit
		return nil, err
	}
	if producer.IsStuck() && !run.Sleep(ctx, checkpoint.FormerHolderTimeout) {
		return nil, ctx.Err()
	}
	return r.report, r.look(ctx, producer)
}

var errOpenWriter = fmt.Errorf("a transaction has been writing to erp_outbox for longer than %s: look for it in pg_stat_activity, end it, and run the repair again", gapTimeout)

// lease keeps relays from working, those of this database.
func (p Params) lease(ctx context.Context) (release func(), err error) {
	wait, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	for {
		release, ok, err := postgres.TryLease(ctx, p.Pool, postgres.LeaseID(checkpoint.Lease(p.Kafka), 0))
		if ok || err != nil {
			return release, err
		}
		if !run.Sleep(wait, leaseInterval) {
			return nil, cmp.Or(ctx.Err(), ErrBusy) // Ctrl-C says nothing about a relay
		}
	}
}

// look compares, and mends when there is a producer.
func (r *repairer) look(ctx context.Context, producer *txn.Producer) (err error) {
	if r.report.Position, err = checkpoint.Read(ctx, r.Kafka); err != nil || r.report.Position.LastID == 0 {
		return err
	}
	r.report.Server, err = r.report.Position.CheckAt(ctx, r.Pool)
	if err != nil && !errors.Is(err, checkpoint.ErrMismatch) {
		return err
	}
	r.report.Mismatch = err
	if r.open, err = r.readOpen(ctx); err != nil {
		return err
	}
	r.report.Open = r.open != nil
	found, err := r.compare(ctx)
	if err != nil {
		return err
	}
	r.report.Since, r.report.Records = found.Since, found.Records
	r.report.Lost, r.report.Again, r.report.Reused = len(found.Lost), len(found.Repeated), len(found.Reused)
	if len(found.Lost) > 0 && r.report.Mismatch == nil {
		r.report.Mismatch = r.report.Position.Lost(r.report.Server, len(found.Lost))
	}
	if producer == nil || r.report.Fits() {
		return r.list(ctx, found)
	}
	if r.isOtherServer() && !r.ThisServer {
		return fmt.Errorf("%w: %w", ErrOtherServer, r.report.Mismatch)
	}
	return r.mend(ctx, found, producer)
}

// isOtherServer compares what the position says of its server with this one. A higher timeline here is a failover, which is what a
// repair is for. A higher one there means that this server was replaced, and may be the wrong one to write to. Positions of old releases
// name no server.
func (r *repairer) isOtherServer() bool {
	p, s := r.report.Position, r.report.Server
	return p.System != "" && (p.System != s.System || p.Timeline > s.Timeline)
}

// compare begins where an interrupted repair began, if there is one.
func (r *repairer) compare(ctx context.Context) (*reconcile.Comparison, error) {
	conn, err := r.Pool.Acquire(ctx) // one server, all the time
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	p := reconcile.Params{Kafka: r.Kafka, On: conn, Position: r.report.Position}
	if r.open != nil {
		p.Since = r.open.since
	}
	return reconcile.Compare(ctx, p)
}

// mend works until a comparison finds nothing.
func (r *repairer) mend(ctx context.Context, found *reconcile.Comparison, producer *txn.Producer) (err error) {
	if r.open, err = r.begin(ctx, found.Since); err != nil {
		return err
	}
	if err := r.makePlaces(ctx); err != nil {
		return err
	}
	if err := r.moveWaiting(ctx, producer); err != nil {
		return err
	}
	for round := 1; found.Differs(); round++ {
		if round > maxRounds {
			return errors.New("there is more to mend each time: stop ingest, api and scheduler, and run the repair again")
		}
		if err := r.round(ctx, found); err != nil {
			return err
		}
		if found, err = r.compare(ctx); err != nil {
			return err
		}
	}
	if err := r.requestInvoiced(ctx); err != nil {
		return err
	}
	failpoint.Hit("repair.restored")
	return r.end(ctx, producer)
}

// round mends what a comparison has found. Rows that are in Kafka already go first: they may have the ids of others.
func (r *repairer) round(ctx context.Context, found *reconcile.Comparison) error {
	if err := r.dropAgain(ctx, found.Repeated); err != nil {
		return err
	}
	if err := r.freeIDs(ctx, found); err != nil {
		return err
	}
	return r.restore(ctx, found)
}

// end lets the projection close the restored gates whose generations have ended, and then the relay go on: in this order, as
// the relay refuses as long as the repair is open.
func (r *repairer) end(ctx context.Context, producer *txn.Producer) error {
	if err := deadletter.Recheck(ctx, r.Pool, r.open.since); err != nil {
		return err
	}
	if err := r.rewindProjector(ctx); err != nil {
		return err
	}
	position, err := r.newPosition(ctx)
	if err != nil {
		return err
	}
	if err := r.write(ctx, producer, position); err != nil {
		return err
	}
	failpoint.Hit("repair.position_written")
	if _, err := r.Pool.Exec(ctx, `DELETE FROM erp_repair`); err != nil {
		return fmt.Errorf("ending the repair: %w", err)
	}
	r.report.Mended = true
	r.finishReport()
	r.Log.Info("database and Kafka fit again", "last_id", position.LastID, "timeline", position.Timeline, "records_restored", r.report.Lost, "orders", r.report.OrdersIn)
	return nil
}

// write makes a position the relay's.
func (r *repairer) write(ctx context.Context, producer *txn.Producer, p checkpoint.Position) error {
	record, err := p.Record()
	if err != nil {
		return err
	}
	record.Topic = r.Kafka.Topic(event.TopicPosition)
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	if err := producer.Commit(ctx, txn.Batch{Records: []*kgo.Record{record}}); err != nil {
		return fmt.Errorf("writing the relay's position; does a relay work on another server of this database? Stop it, and run the repair again: %w", err)
	}
	return nil
}
