//go:build speed && unix

package audit

import (
	"flag"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

var (
	keptOrders   = flag.Int("kept.orders", 200_000, "orders that are packed and judged")
	keptAttempts = flag.Int("kept.attempts", 1, "calls of each")
)

// TestMemoryOfOrders prints figures and claims none; it is built with the tag speed only: what packing, splitting and judging takes of
// memory and CPU time, without any store to read from. The topics are of 8 partitions.
func TestMemoryOfOrders(t *testing.T) {
	const partitions = 8
	var before, after syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &before))
	measured(t, *keptOrders, func() {
		kept := &store{limit: limits.memory}
		buckets := min(1+*keptOrders/(partitions*limits.bucketOrders), maxBuckets/partitions)
		a := &auditor{tuning: limits, snapshot: &snapshot{partitions: partitions, buckets: buckets, packed: newSpill(kept, partitions*buckets)}}
		a.log = newSpill(kept, buckets)
		r := newReport(Params{Limit: 1000})
		for o := range *keptOrders {
			packSnapshotOf(t, a, o)
		}
		for n := range int32(partitions) {
			packLogOf(t, a, n)
			for i := range buckets {
				require.NoError(t, eachBucket(a.snapshot.part(n, i), part{a.log, i}, limits.bucketBytes, func(b *bucket) error {
					for _, o := range b.orders {
						j := &judgement{o: o, relayed: int64(2 * *keptOrders), gate: o.gate, before: func(place) bool { return true }}
						j.run()
						r.count(j)
					}
					return nil
				}))
			}
		}
		r.finish()
		require.Empty(t, r.Violations)
		require.Equal(t, *keptOrders, r.Total().Success)
		t.Logf("%d MiB in the file, %d buckets", max(0, kept.offset(kept.next))>>20, partitions*buckets)
		require.NoError(t, kept.close())
	})
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &after))
	used := time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
	t.Logf("%d orders of %d attempts: %s of CPU, %.1f µs an order; resident at most %d MiB, %d MiB before", *keptOrders, *keptAttempts,
		used.Round(time.Millisecond), 1e6*used.Seconds()/float64(*keptOrders), after.Maxrss>>10, before.Maxrss>>10)
}

func keyOfOrder(o int) string { return fmt.Sprint(100_000_000 + o) }

func packSnapshotOf(t *testing.T, a *auditor, o int) {
	key := keyOfOrder(o)
	add := func(kind byte, more func([]byte) []byte) { require.NoError(t, a.snapshot.add(kind, key, more)) }
	add(entryEvent, func(b []byte) []byte { return appendHash(b, "e"+key) })
	add(entryRow, func(b []byte) []byte {
		return appendHash(append(appendNumber(b, int64(2*o)), indexes[event.TopicSalesOrder]), "e"+key)
	})
	add(entryRow, func(b []byte) []byte {
		return appendHash(append(appendNumber(b, int64(2*o+1)), indexes[event.TopicRequested]), requestOf(key))
	})
	add(entryGate, gateRow{syncID: int64(o), generation: 1, state: domain.GateClosed, closedBy: domain.ClosedByAnswer, key: hash("key")}.append)
}

func requestOf(key string) string {
	return event.MessageUUID(event.ID(key, domain.RequestVersion(1, 0), event.TopicRequested))
}

func packLogOf(t *testing.T, a *auditor, partition int32) {
	now := time.Now()
	var entry []byte
	for o := range *keptOrders {
		key := keyOfOrder(o)
		if partitionOf(key, a.snapshot.partitions) != partition {
			continue
		}
		add := func(topic string, attempt int, r logRecord) {
			r.place, r.at = place{indexes[topic], int64(o*(*keptAttempts) + attempt)}, now
			r.saying = saying{generation: 1, syncID: int64(o), key: hash("key"), attempt: attempt, attempts: attempt, written: now}
			entry = r.append(appendText(entry[:0], key))
			require.NoError(t, a.log.add(bucketOf(key, a.snapshot.buckets), entry))
		}
		add(event.TopicSalesOrder, 0, logRecord{byOutbox: true, uuid: hash("e" + key)})
		add(event.TopicRequested, 0, logRecord{byOutbox: true, readable: true, uuid: hash(requestOf(key))})
		for n := 1; n <= *keptAttempts; n++ {
			add(event.TopicBeforeSend, n, logRecord{readable: true})
			add(event.TopicAfterSend, n, logRecord{readable: true})
			if n > 1 {
				add(event.TopicDue, n-1, logRecord{readable: true})
			}
		}
		add(event.TopicSuccess, *keptAttempts, logRecord{readable: true})
	}
}
