// Package audit checks that nothing accepted has been lost. It counts orders: what was accepted is what was relayed to Kafka,
// and that is what has ended and what is alive. It names each order of which this is not so, a violation.
//
// It works while the product runs, because it reads in this order (docs/audit.md says why that is right):
//
//  1. the relay's position, R;
//  2. gates, accepted events and outbox rows, in one snapshot of Postgres, S;
//  3. of one Kafka partition after the other: the groups' positions, P, and then the topics' ends, E; then all up to E;
//  4. once more for orders that look broken: the groups' positions, gates and rows as they are now.
//
// Whatever R says was relayed, and whatever P says was consumed, has left its trace before E. What came later is not in the
// snapshot yet, and is no violation.
//
// An example: the relay's position is 15, and row 15 of the outbox, a request of order 000000124, is not in Kafka. The relay has passed
// it, so nobody will bring it there: row_not_in_kafka. At a position of 14 the same row would be on its way, which breaks nothing.
//
// The audit shares no rule with the services that it checks, but for the forms of records and the names of states. A rule that both
// had from one place would be wrong in both.
//
// What was read is packed by order into buckets, which stand in a temporary file where they do not fit into memory.
//
// The files: snapshot.go reads Postgres, read.go and dead_letters.go Kafka; packed.go, spill.go and store.go keep what was read, order.go holds
// what is known of an order. judge.go and judge_gate.go decide what is broken, by values alone; recheck.go looks a second time; report.go
// counts.
package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/checkpoint"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

const (
	answerTimeout = 30 * time.Second
	readTries     = 5 // of one partition: retry topics are trimmed under the reader

	// gateTimeout is how long a gate may stay open after the projection has applied the end of its generation. The projector
	// tries again every five seconds to close a gate that was locked.
	gateTimeout = 11 * time.Second
)

// Params say what is audited.
type Params struct {
	Kafka      kafka.Config
	Pool       *pgxpool.Pool
	From       time.Time // orders whose first event was accepted at this time or later; zero: all
	To         time.Time // and before this one; zero: all up to now
	Source     string    // of this shop only; empty: all
	Limit      int       // violations in the report; 0: all. All are counted
	OnProgress func(done, of int64)
}

// tuning is how much is done at once; a test changes it.
type tuning struct {
	gateTimeout  time.Duration // a test has no projector, and waits for nothing
	bucketOrders int           // orders that are in memory at once, where they are as most are
	bucketBytes  int           // packed ones that are in memory at once, however many the records of an order; unpacked, they are three times as many
	memory       int           // bytes that are kept in memory of what was read
}

// limits keep an audit below 256 MiB (docs/audit.md).
var limits = tuning{gateTimeout: gateTimeout, bucketOrders: 20_000, bucketBytes: 8 << 20, memory: 32 << 20}

const (
	maxBuckets = 1024 // of all partitions together, unless these are more; each takes chunkBytes
	splitBits  = 4    // a bucket is split into 16
	maxSplits  = 6    // then a bucket that is still too large is one order's, or few ones'
)

// auditor is one run. It goes from partition to partition, and there from bucket to bucket, so that its memory holds the orders of one
// bucket, however many there are; a bucket that is too large for that is split first.
type auditor struct {
	Params

	tuning

	client     *kgo.Client
	admin      *kadm.Client
	partitions int32
	relayed    checkpoint.Position // R
	snapshot   *snapshot           // S
	log        *spill              // what the topics say of the orders of the partition that is read
	report     *Report
	all, done  int64 // offsets
}

// Run audits. A violation is not an error: an error says that it could not be told. It writes nothing, and takes no lock that a service
// waits for. When ctx ends, so does Run; there is no report of a part.
func Run(ctx context.Context, p Params) (*Report, error) {
	return audit(ctx, p, limits)
}

func audit(ctx context.Context, p Params, tuned tuning) (_ *Report, err error) {
	a := &auditor{Params: p, tuning: tuned, report: newReport(p)}
	if a.client, err = kgo.NewClient(p.Kafka.Options()...); err != nil {
		return nil, fmt.Errorf("connecting to Kafka: %w", err)
	}
	defer a.client.Close()
	a.admin = kadm.NewClient(a.client)
	if err := a.size(ctx); err != nil {
		return nil, err
	}
	if a.relayed, err = a.position(ctx); err != nil {
		return nil, err
	}
	kept := &store{limit: tuned.memory}
	defer func() { err = errors.Join(err, kept.close()) }()
	if a.snapshot, err = readSnapshot(ctx, p, a.partitions, tuned, kept); err != nil {
		return nil, err
	}
	a.log = newSpill(kept, a.snapshot.buckets)
	a.report.Relayed, a.report.At, a.report.KeptFrom = a.relayed.LastID, a.snapshot.at, a.snapshot.keptFrom
	for n := range a.partitions {
		if err := a.partition(ctx, n); err != nil {
			return nil, err
		}
	}
	a.report.finish()
	return a.report, nil
}

// size counts the partitions, and the offsets to read, for OnProgress. All keyed topics must have as many partitions: with another
// count, the records of an order would not be in one partition number, and each order would look broken.
func (a *auditor) size(ctx context.Context) error {
	spans, err := a.spans(ctx, nil, func(int32) bool { return true })
	if err != nil {
		return err
	}
	partitions := map[string]int32{}
	for _, s := range spans {
		if n := a.Kafka.Partitions; n > 0 && int(s.Partition) >= n {
			continue // added, and used by nobody (see erpconnector topics check)
		}
		partitions[s.Topic]++
		a.all += s.End - s.First
	}
	a.partitions = partitions[event.TopicRequested]
	for topic, n := range partitions {
		if n != a.partitions {
			return fmt.Errorf("topic %s has %d partitions, %s has %d: run `erpconnector topics check`",
				a.Kafka.Topic(topic), n, a.Kafka.Topic(event.TopicRequested), a.partitions)
		}
	}
	return nil
}

// position reads the relay's position and checks that it is one of this outbox.
func (a *auditor) position(ctx context.Context) (checkpoint.Position, error) {
	at, err := checkpoint.Read(ctx, a.Kafka)
	if err != nil {
		return at, err
	}
	_, err = at.CheckAt(ctx, a.Pool)
	return at, err
}

// relayedIn is the last row that the relay has passed in a partition. Rows in the position's gaps are not relayed.
func (a *auditor) relayedIn(partition int32) int64 {
	return a.relayed.UpTo(checkpoint.LaneOfPartition(partition))
}

// partition audits the orders of one Kafka partition. An order's records are in the partition of the same number in all topics.
func (a *auditor) partition(ctx context.Context, number int32) error {
	for try := 1; ; try++ {
		p, err := a.read(ctx, number)
		if errors.Is(err, kerr.OffsetOutOfRange) && try < readTries {
			continue
		}
		if err != nil {
			return err
		}
		return a.judge(ctx, p)
	}
}
