package audit

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// taken is a bucket that knows the order 1 by a gate, after the records were taken.
func taken(t *testing.T, keptSince time.Time, records ...*kgo.Record) *bucket {
	t.Helper()
	a := &auditor{
		Params: Params{Kafka: kafka.Config{Prefix: "p."}}, log: newSpill(&store{}, 1),
		snapshot: &snapshot{keptSince: keptSince, partitions: 1, buckets: 1, packed: newSpill(&store{}, 1)},
	}
	require.NoError(t, a.snapshot.add(entryGate, "1", gateRow{}.append))
	require.NoError(t, (&partition{a: a}).Take(t.Context(), records))
	var all *bucket
	require.NoError(t, eachBucket(a.snapshot.part(0, 0), part{a.log, 0}, 1<<20, func(b *bucket) error {
		all = b
		return nil
	}))
	return all
}

func recordOf(t *testing.T, topic string, s domain.Sync, offset int64) *kgo.Record {
	t.Helper()
	r, err := event.NewSync(topic, event.Sync{Sync: s}, event.Context{At: time.Unix(100, 0)})
	require.NoError(t, err)
	record := kafka.Config{Prefix: "p."}.Record(r)
	record.Offset = offset
	return record
}

func syncAt(order string, generation int, v domain.Version) domain.Sync {
	return domain.Sync{
		SyncID: 7, Source: domain.DefaultSource, OrderIncrementID: order, Status: domain.Queued, Generation: generation, Version: v,
		IdempotencyKey: "key", MaxAttempts: 5,
	}
}

func TestRecordsAreTakenIntoTheirGenerations(t *testing.T) {
	t.Parallel()
	held, released := syncAt("1", 1, domain.RequestVersion(1, 0)), syncAt("1", 1, domain.RequestVersion(1, 1))
	held.Released = new(false)
	before := syncAt("1", 1, domain.AttemptVersion(1, 1, domain.PhaseBefore))
	after := syncAt("1", 1, domain.AttemptVersion(1, 1, domain.PhaseAfter))
	after.Attempts = 1
	closed := syncAt("1", 1, domain.AttemptVersion(1, 1, domain.PhaseTerminal))
	closed.Attempts, closed.ClosedBy = 1, domain.ClosedByCancelled
	b := taken(t, time.Time{},
		recordOf(t, event.TopicRequested, held, 0), recordOf(t, event.TopicRequested, released, 1),
		recordOf(t, event.TopicBeforeSend, before, 0), recordOf(t, event.TopicBeforeSend, before, 1), // an intent may repeat
		recordOf(t, event.TopicAfterSend, after, 0), recordOf(t, event.TopicDue, after, 0), recordOf(t, event.TopicFailed, closed, 0),
		recordOf(t, event.TopicRequested, syncAt("1", 2, domain.RequestVersion(2, 0)), 2))
	o := b.orders["1"]
	require.Len(t, o.records, 3, "requests are written by the outbox")
	require.Len(t, o.generations, 2)
	require.Equal(t, 2, o.newest().number)
	g := o.generation(1)
	require.True(t, g.held)
	require.EqualValues(t, 7, g.syncID)
	require.Equal(t, hash("key"), g.key)
	require.Equal(t, []link{{in(event.TopicRequested, 1), 0}, {in(event.TopicDue, 0), 1}}, g.links)
	require.Equal(t, []mark{{in(event.TopicBeforeSend, 0), 1}}, g.before)
	require.Equal(t, []mark{{in(event.TopicAfterSend, 0), 1}}, g.after)
	require.Len(t, g.ends, 1)
	require.True(t, g.ends[0].byGate)
	require.False(t, g.ends[0].success)
	require.Empty(t, b.unknownOrders)
	require.Empty(t, o.unreadable)
}

// Symptom: the log said who had sent a record back from the dead letters, and the audit did not.
func TestAnAuditNamesWhoRedroveWhatAndWhy(t *testing.T) {
	t.Parallel()
	redriven := syncAt("1", 2, domain.AttemptVersion(2, 1, domain.PhaseAfter))
	redriven.Cause = "redrive of dead letter 17 by jane: the decoder was mended"
	setAside, settled := redriven, syncAt("1", 2, domain.CallbackVersion(2, 1))
	setAside.Status, setAside.Cause, settled.Cause = domain.Failed, "dead letter 17", "settled by jane"
	ofAnother, spoiled := redriven, recordOf(t, event.TopicCallback, redriven, 9)
	ofAnother.OrderIncrementID = "2"
	spoiled.Value = []byte("{")
	strange := recordOf(t, event.TopicCallback, ofAnother, 8)
	strange.Key = []byte("1")
	o := taken(t, time.Time{}, recordOf(t, event.TopicCallback, setAside, 0), recordOf(t, event.TopicCallback, settled, 1),
		recordOf(t, event.TopicCallback, redriven, 2), recordOf(t, event.TopicCallback, redriven, 3), strange, spoiled).orders["1"]
	r := newReport(Params{})
	counted(r, "1", func(j *judgement) { j.o.redrives = o.redrives })
	r.finish()
	require.Equal(t, []Redrive{{
		Source: "default", Order: "1", Generation: 2, At: time.Unix(100, 0).UTC(), What: "redrive of dead letter 17 by jane: the decoder was mended",
	}}, r.Redrives)
}

func TestRecordsThatNobodyCanRead(t *testing.T) {
	t.Parallel()
	spoiled := recordOf(t, event.TopicAfterSend, syncAt("1", 1, domain.AttemptVersion(1, 1, domain.PhaseAfter)), 5)
	spoiled.Value = []byte("{")
	ofAnother := recordOf(t, event.TopicSuccess, syncAt("2", 1, domain.AttemptVersion(1, 1, domain.PhaseTerminal)), 6)
	ofAnother.Key = []byte("1")
	request := recordOf(t, event.TopicRequested, syncAt("1", 1, domain.RequestVersion(1, 0)), 7)
	request.Value = []byte("{")
	o := taken(t, time.Time{}, spoiled, ofAnother, request).orders["1"]
	require.Equal(t, []place{in(event.TopicAfterSend, 5), in(event.TopicSuccess, 6)}, o.unreadable)
	require.Empty(t, o.generations)
	require.Len(t, o.records, 1, "a request that nobody can read is unknown to the outbox, which says enough")
}

// A row of before what retention has kept may be gone; a later one may not.
func TestRecordsOfBeforeRetentionAreOld(t *testing.T) {
	t.Parallel()
	request := recordOf(t, event.TopicRequested, syncAt("1", 1, domain.RequestVersion(1, 0)), 0) // at second 100
	for since, old := range map[time.Time]bool{{}: false, time.Unix(99, 0): false, time.Unix(100, 0): false, time.Unix(101, 0): true} {
		require.Equal(t, old, taken(t, since, request).orders["1"].records[0].old, since)
	}
}

// Of an order that the snapshot does not know the record of the first topic of the flow is kept: it says most.
func TestOrdersThatTheSnapshotDoesNotKnow(t *testing.T) {
	t.Parallel()
	success := recordOf(t, event.TopicSuccess, syncAt("9", 1, domain.AttemptVersion(1, 1, domain.PhaseTerminal)), 3)
	request := recordOf(t, event.TopicRequested, syncAt("9", 1, domain.RequestVersion(1, 0)), 4)
	b := taken(t, time.Time{}, success, request)
	require.Equal(t, in(event.TopicRequested, 4), b.unknownOrders["9"].place)
	require.True(t, b.unknownOrders["9"].at.Equal(time.Unix(100, 0)))
	require.Equal(t, in(event.TopicRequested, 4), taken(t, time.Time{}, request, success).unknownOrders["9"].place, "in any order")
}

func TestDeadLettersOfChainRecordsAreKept(t *testing.T) {
	t.Parallel()
	found := deadLetters{}
	deadLetterOf := func(key, origin, id string) *kgo.Record {
		return &kgo.Record{Key: []byte(key), Headers: []kgo.RecordHeader{
			{Key: event.HeaderOriginTopic, Value: []byte("p." + origin)}, {Key: event.HeaderID, Value: []byte(id)}, {Key: event.HeaderType, Value: []byte(origin)},
		}}
	}
	sink := deadLetterSink{found, map[string]bool{"1": true, "shop/2": true, "3": true, "4": true, "5": true}, kafka.Config{Prefix: "p."}}
	require.NoError(t, sink.Take(context.Background(), []*kgo.Record{
		deadLetterOf("1", event.TopicRequested, event.ID("1", domain.RequestVersion(1, 0), event.TopicRequested)),
		deadLetterOf("shop/2", event.TopicDue, event.ID("shop/2", domain.AttemptVersion(2, 1, domain.PhaseAfter), event.TopicDue)),
		deadLetterOf("3", event.TopicSuccess, event.ID("3", domain.AttemptVersion(1, 1, domain.PhaseTerminal), event.TopicSuccess)),
		deadLetterOf("4", event.TopicDue, "4"),
		deadLetterOf("6", event.TopicRequested, event.ID("6", domain.RequestVersion(1, 0), event.TopicRequested)), // of an order that is no suspect
		deadLetterOf("5", event.TopicDue, "5/version/"+event.TopicDue),
	}))
	require.Equal(t, deadLetters{{"1", 1}: true, {"shop/2", 2}: true}, found)
}
