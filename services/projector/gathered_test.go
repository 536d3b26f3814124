package projector

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// inLog makes entries of a log: records of a topic and a partition by their syncs, in the order of the calls.
type inLog map[kafka.TopicPartition]int64

func (l inLog) entry(topic string, partition int32, sync int64, status domain.Status) *entry {
	at := kafka.TopicPartition{Topic: topic, Partition: partition}
	l[at]++
	f := fact{at: at, Fact: domain.Fact{Sync: domain.Sync{SyncID: sync, Status: status}}}
	return &entry{at: at, record: &kgo.Record{Offset: l[at], Value: make([]byte, 10)}, fact: f}
}

func (l inLog) requested(partition int32, sync int64) *entry {
	return l.entry(event.TopicRequested, partition, sync, domain.Queued)
}

func (l inLog) sent(partition int32, sync int64) *entry {
	return l.entry(event.TopicBeforeSend, partition, sync, domain.InProgress)
}

// answered are the two records that one transaction writes.
func (l inLog) answered(partition int32, sync int64) []*entry {
	return []*entry{
		l.entry(event.TopicAfterSend, partition, sync, domain.Success), l.entry(event.TopicSuccess, partition, sync, domain.Success),
	}
}

// underLoad is a gathered to which many records have come, and that has none.
func underLoad(l inLog) *gathered {
	g := newGathered()
	g.add(nil, began)
	var many []*entry
	for range busyRate / 10 {
		many = append(many, l.entry(event.TopicCallback, 0, 1000, domain.Success))
	}
	g.add(many, began)
	g.due(began)
	return g
}

func TestRecordsWaitForTheirOrdersOutcomeUnderLoadOnly(t *testing.T) {
	t.Parallel()
	l := inLog{}
	before := []*entry{l.requested(0, 1), l.sent(0, 1)}
	g := newGathered()
	g.add(before, began)
	require.ElementsMatch(t, before, g.due(began), "no load")

	g = underLoad(l)
	before = []*entry{l.requested(0, 1), l.sent(0, 1)}
	g.add(before, began)
	require.Empty(t, g.due(began))
	outcome := l.answered(0, 1)
	g.add(outcome[:1], began)
	require.Empty(t, g.due(began), "the other record of the transaction is on its way")
	g.add(outcome[1:], began)
	require.ElementsMatch(t, append(before, outcome...), g.due(began))

	g = underLoad(l)
	g.add(before, began.Add(busyFor))
	require.ElementsMatch(t, before, g.due(began.Add(busyFor)), "the load is over")
}

// While the projector is behind, topics with small records are read before those with large ones.
func TestATerminalEventAndItsAnswerWaitForEachOther(t *testing.T) {
	t.Parallel()
	l := inLog{}
	g := underLoad(l)
	outcome := l.answered(0, 1)
	g.add(outcome[1:], began)
	require.Empty(t, g.due(began.Add(outcomePatience)))
	g.add(outcome[:1], began.Add(outcomePatience))
	require.ElementsMatch(t, outcome, g.due(began.Add(outcomePatience)))

	g = underLoad(l)
	first, second := l.answered(0, 1), l.answered(1, 2)
	g.add([]*entry{first[0], second[1]}, began)
	require.Empty(t, g.due(began.Add(otherPatience-1)))
	require.ElementsMatch(t, []*entry{first[0], second[1]}, g.due(began.Add(otherPatience)), "the others were applied before")

	g = underLoad(l)
	byHand := l.entry(event.TopicSuccess, 0, 3, domain.Success)
	byHand.fact.Sync.ClosedBy = domain.ClosedByHand
	g.add([]*entry{byHand}, began)
	require.Equal(t, []*entry{byHand}, g.due(began), "no answer is to come")
}

func TestNothingFollowsSoonOnARetryOrAHeldRequest(t *testing.T) {
	t.Parallel()
	l := inLog{}
	g := underLoad(l)
	retry := []*entry{l.sent(0, 1), l.entry(event.TopicAfterSend, 0, 1, domain.Queued), l.entry(event.TopicRequested, 1, 2, domain.Pending)}
	g.add(retry, began)
	require.ElementsMatch(t, retry, g.due(began))
}

func TestAnOutcomeWaitsForAShortTimeForOrdersBeforeIt(t *testing.T) {
	t.Parallel()
	l := inLog{}
	g := underLoad(l)
	slow, fast, elsewhere := l.requested(0, 1), append([]*entry{l.requested(0, 2)}, l.answered(0, 2)...), append([]*entry{l.requested(1, 3)}, l.answered(1, 3)...)
	g.add([]*entry{slow}, began)
	g.add(fast, began)
	g.add(elsewhere, began)
	require.ElementsMatch(t, elsewhere, g.due(began), "another partition")
	late := l.requested(0, 4)
	g.add([]*entry{late}, began)
	require.Empty(t, g.due(began.Add(outcomePatience-1)))
	require.ElementsMatch(t, append(fast, slow), g.due(began.Add(outcomePatience)))
	require.Empty(t, g.due(began.Add(morePatience-1)))
	require.Equal(t, []*entry{late}, g.due(began.Add(morePatience)))
}

func TestRecordsThatFillTheMemoryWaitHalfAsLong(t *testing.T) {
	t.Parallel()
	l := inLog{}
	g := underLoad(l)
	early, late := l.requested(0, 1), l.requested(0, 2)
	early.record.Value, late.record.Value = make([]byte, maxGathered/2), make([]byte, maxGathered/2)
	g.add([]*entry{early}, began)
	require.Empty(t, g.due(began.Add(outcomePatience)))
	g.add([]*entry{late}, began.Add(outcomePatience))
	require.Equal(t, []*entry{early}, g.due(began.Add(outcomePatience)))
	require.Empty(t, g.due(began.Add(outcomePatience)))

	g = underLoad(l)
	large := l.requested(0, 1)
	large.record.Value = make([]byte, maxGathered)
	g.add([]*entry{large}, began)
	require.Equal(t, []*entry{large}, g.due(began))
	require.Zero(t, g.bytes)
}

// Whatever comes when: each record is due once, those of a partition in their order, and none waits too long.
func TestGatheredGivesEachRecordOnceInItsPartitionsOrder(t *testing.T) {
	t.Parallel()
	topics := []string{event.TopicRequested, event.TopicBeforeSend, event.TopicAfterSend, event.TopicSuccess, event.TopicDeadLetter}
	statuses := []domain.Status{domain.Pending, domain.Queued, domain.InProgress, domain.Success}
	rapid.Check(t, func(t *rapid.T) {
		l := inLog{}
		g, now := underLoad(l), began
		g.rate.busyUntil = began.Add(time.Hour)
		read, given := map[*entry]time.Time{}, map[kafka.TopicPartition]int64{{Topic: event.TopicCallback}: l[kafka.TopicPartition{Topic: event.TopicCallback}]}
		for range rapid.IntRange(1, 30).Draw(t, "polls") {
			now = now.Add(rapid.SampledFrom([]time.Duration{0, time.Millisecond, outcomePatience / 2, morePatience / 2}).Draw(t, "passes"))
			var came []*entry
			for range rapid.IntRange(0, 8).Draw(t, "come") {
				topic, sync := rapid.SampledFrom(topics).Draw(t, "topic"), rapid.Int64Range(1, 5).Draw(t, "sync")
				e := l.entry(topic, int32(sync%2), sync, rapid.SampledFrom(statuses).Draw(t, "status"))
				if topic == event.TopicDeadLetter {
					e.fact = fact{}
				}
				came, read[e] = append(came, e), now
			}
			g.add(came, now)
			for _, e := range g.due(now) {
				require.Equal(t, given[e.at]+1, e.record.Offset)
				given[e.at]++
				delete(read, e)
			}
			for _, since := range read {
				require.Less(t, now.Sub(since), morePatience)
			}
		}
		g.due(began.Add(time.Hour))
		require.Empty(t, g.queues)
		require.Zero(t, g.bytes)
	})
}
