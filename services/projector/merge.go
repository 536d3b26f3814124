package projector

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
)

// maxWaiting is how many bytes of records wait in a merge before the partitions that are ahead are fetched no further.
const maxWaiting = 16 << 20

// merge brings the records of many partitions into about the order of their times, those of a partition in their own order. Topics with
// small records come faster than those with large ones. Without it, most facts of an order would be in batches of their own soon, and its
// row would be written once for each.
type merge struct {
	waiting map[kafka.TopicPartition][]timed   // in their order
	reached map[kafka.TopicPartition]time.Time // the latest time of what came
	bytes   int                                // of the values that wait
	paused  map[kafka.TopicPartition]bool
}

// timed is an entry and the latest time of its partition up to it: a record may say an earlier one than the record before it.
type timed struct {
	*entry

	by   time.Time
	size int // of the value
}

func newMerge() *merge {
	return &merge{
		waiting: map[kafka.TopicPartition][]timed{}, reached: map[kafka.TopicPartition]time.Time{}, paused: map[kafka.TopicPartition]bool{},
	}
}

// add takes an entry. Of its record only the place stays: the rest would keep the whole fetched batch in memory.
func (m *merge) add(e *entry) {
	if e.record.Timestamp.After(m.reached[e.at]) {
		m.reached[e.at] = e.record.Timestamp
	}
	m.waiting[e.at] = append(m.waiting[e.at], timed{e, m.reached[e.at], len(e.record.Value)})
	m.bytes += len(e.record.Value)
	e.record = &kgo.Record{Topic: e.record.Topic, Partition: e.record.Partition, Offset: e.record.Offset, Timestamp: e.record.Timestamp}
}

// due takes the records that are no later than what has come of each partition that is left: all, when none is left.
func (m *merge) due(left map[kafka.TopicPartition]int64) []*entry {
	until := m.until(left)
	var due []timed
	for at, queue := range m.waiting {
		n := 0
		for n < len(queue) && (len(left) == 0 || !queue[n].by.After(until)) {
			m.bytes -= queue[n].size
			n++
		}
		due = append(due, queue[:n]...)
		if m.waiting[at] = slices.Delete(queue, 0, n); len(m.waiting[at]) == 0 {
			delete(m.waiting, at)
		}
	}
	slices.SortStableFunc(due, func(a, b timed) int { return a.by.Compare(b.by) })
	out := make([]*entry, len(due))
	for i, e := range due {
		out[i] = e.entry
	}
	return out
}

// until is the time that all partitions have reached.
func (m *merge) until(left map[kafka.TopicPartition]int64) (until time.Time) {
	first := true
	for at := range left {
		if reached := m.reached[at]; first || reached.Before(until) {
			until, first = reached, false
		}
	}
	return until
}

// ahead are the partitions to be fetched no further for now. The one that all wait for is never among them: nothing of it waits after due.
func (m *merge) ahead(left map[kafka.TopicPartition]int64) map[kafka.TopicPartition]bool {
	ahead := map[kafka.TopicPartition]bool{}
	if m.bytes < maxWaiting {
		return ahead
	}
	for at := range left {
		if len(m.waiting[at]) > 0 {
			ahead[at] = true
		}
	}
	return ahead
}

// pace fetches no further what is ahead, and goes on with what was.
func (m *merge) pace(client *kgo.Client, cfg kafka.Config, left map[kafka.TopicPartition]int64) {
	ahead := m.ahead(left)
	pause, resume := map[string][]int32{}, map[string][]int32{}
	for at := range left {
		topic := cfg.Topic(at.Topic)
		switch {
		case ahead[at] && !m.paused[at]:
			pause[topic] = append(pause[topic], at.Partition)
		case m.paused[at] && !ahead[at]:
			resume[topic] = append(resume[topic], at.Partition)
		}
	}
	m.paused = ahead
	client.PauseFetchPartitions(pause)
	client.ResumeFetchPartitions(resume)
}
