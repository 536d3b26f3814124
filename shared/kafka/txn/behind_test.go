package txn

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/kafka"
)

// rooms is a handler that has room for some tasks of each flow at once.
type rooms struct {
	room  map[Flow]int
	tasks []*Task // taken, not finished
}

func (h *rooms) Take(t *Task) (bool, time.Duration) {
	flow := flowOfKey(t.Record)
	if h.room[flow] == 0 {
		return false, 0
	}
	h.room[flow]--
	h.tasks = append(h.tasks, t)
	return true, 0
}

func (h *rooms) Prepare(context.Context, []*Task) {}
func (h *rooms) Committed([]*Task)                {}
func (h *rooms) Refused(*Task, error, int)        {}
func (h *rooms) Dropped([]*Task)                  {}
func (h *rooms) Revoked()                         {}
func (h *rooms) Resumed([]int32)                  {}

func flowOfKey(r *kgo.Record) Flow { return Flow(r.Key[0]) }

func recordOf(flow Flow, offset int64) *kgo.Record {
	return &kgo.Record{Key: []byte{byte(flow)}, Offset: offset}
}

// life is one process that owns a partition, from an assignment on.
type life struct {
	s        *Session
	h        *rooms
	p        *partition
	log      []*kgo.Record
	received int // records of the log
}

func begin(t require.TestingT, log []*kgo.Record, at Offset) *life {
	c, err := parse(at.At, at.Metadata)
	require.NoError(t, err)
	h := &rooms{room: map[Flow]int{}}
	l := &life{h: h, log: log, s: &Session{cfg: Config{FlowOf: flowOfKey}, handler: h, lanes: NewLanes[int32](quiet)}}
	a := newAssignment(context.Background(), []assigned{{TopicPartition: kafka.TopicPartition{Topic: "in"}, committed: c}})
	l.p = a.partitions[kafka.TopicPartition{Topic: "in"}]
	for l.received < len(log) && log[l.received].Offset < c.position {
		l.received++
	}
	return l
}

// receive gives the next n records of the log to the partition.
func (l *life) receive(n int) {
	n = min(n, len(l.log)-l.received)
	l.p.backlog = append(l.p.backlog, l.log[l.received:l.received+n]...)
	l.received += n
	l.s.offerPartition(l.p)
}

// catchUp reads at most n records again where that is needed. It reports whether it was.
func (l *life) catchUp(n int) bool {
	from, needed := l.p.toRead()
	if !needed {
		return false
	}
	i := slices.IndexFunc(l.log, func(r *kgo.Record) bool { return r.Offset >= from })
	end := min(i+n, l.received)
	next := l.log[l.received-1].Offset + 1
	if end < l.received {
		next = l.log[end].Offset
	}
	l.p.receiveBehind(from, next, l.log[i:end], flowOfKey)
	l.s.offerPartition(l.p)
	return true
}

// finish takes some of the tasks under way.
func (l *life) finish(which func(*Task) bool) (finished []*Task) {
	l.h.tasks = slices.DeleteFunc(l.h.tasks, func(t *Task) bool {
		done := which(t)
		if done {
			finished = append(finished, t)
		}
		return done
	})
	return finished
}

func (l *life) confirm(tasks []*Task) {
	for tracker, offsets := range finishedBy(tasks) {
		tracker.confirm(offsets)
	}
}

// Whatever the handler has room for, however much is read again at once, and whenever the process dies: a record begins
// again if and only if it was not committed, those of a flow begin in their order, and in the end all are done.
func TestEachRecordOfEachFlowIsDoneOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		flows := rapid.IntRange(1, 4).Draw(t, "flows")
		var log []*kgo.Record
		for o := int64(0); len(log) < 1500; o += int64(rapid.SampledFrom([]int{1, 1, 1, 2}).Draw(t, "gap")) {
			log = append(log, recordOf(Flow(1+rapid.IntRange(0, flows*flows-1).Draw(t, "flow")/flows), o))
		}
		var at Offset
		done := map[int64]bool{}
		for lives := 0; len(done) < len(log); lives++ {
			l := begin(t, log, at)
			last, begun := map[Flow]int64{}, map[int64]bool{}
			for steps := 0; len(done) < len(log); steps++ {
				require.Less(t, steps, 5000, "it does not go on")
				taken := len(l.h.tasks)
				switch rapid.IntRange(0, 4).Draw(t, "step") {
				case 0:
					l.receive(rapid.IntRange(1, 700).Draw(t, "received"))
				case 1:
					l.catchUp(rapid.IntRange(1, 300).Draw(t, "read"))
				case 2:
					l.h.room[Flow(rapid.IntRange(1, flows).Draw(t, "flow"))] += rapid.IntRange(1, 200).Draw(t, "room")
					l.s.offerPartition(l.p)
				default:
					n := rapid.IntRange(1, 3).Draw(t, "nth")
					finished := l.finish(func(task *Task) bool { return int(task.Record.Offset)%n == 0 })
					taken -= len(finished)
					next, err := l.p.offset(finished)
					require.NoError(t, err)
					require.LessOrEqual(t, len(next.Metadata), MaxMetadataBytes)
					require.GreaterOrEqual(t, next.At, at.At)
					if rapid.IntRange(0, 9).Draw(t, "aborts") == 0 {
						l.h.tasks = append(finished, l.h.tasks...)
						continue
					}
					at = next
					for _, f := range finished {
						done[f.Record.Offset] = true
					}
					l.confirm(finished)
				}
				for _, task := range l.h.tasks[max(taken, 0):] {
					flow, o := flowOfKey(task.Record), task.Record.Offset
					require.False(t, done[o], "offset %d begins again although it is done", o)
					require.False(t, begun[o], "offset %d begins twice", o)
					require.Greater(t, o, last[flow]-1, "flow %d", flow)
					begun[o], last[flow] = true, o
				}
				if lives < 3 && rapid.IntRange(0, 100).Draw(t, "dies") == 0 {
					break
				}
			}
		}
		heir := begin(t, log, at)
		heir.receive(len(log))
		for heir.catchUp(len(log)) {
			require.Empty(t, heir.p.waiting)
		}
		require.Empty(t, heir.h.tasks)
		at, err := heir.p.offset(nil)
		require.NoError(t, err)
		require.Equal(t, Offset{At: log[len(log)-1].Offset + 1}, at)
	})
}

// A hundred thousand records of one flow are in the partition, and the handler has no room for more of it.
func TestAFlowThatIsFarBehindDelaysNoOther(t *testing.T) {
	t.Parallel()
	const noisy, quietFlow = 1, 2
	log := make([]*kgo.Record, 0, 100_001)
	for o := range int64(100_000) {
		log = append(log, recordOf(noisy, o))
	}
	log = append(log, recordOf(quietFlow, 100_000))
	l := begin(t, log, Offset{})
	l.h.room[noisy], l.h.room[quietFlow] = 10, 1
	for l.received < len(log) {
		l.receive(500)
	}
	require.Len(t, l.h.tasks, 11)
	require.Equal(t, int64(100_000), l.h.tasks[10].Record.Offset)
	require.Equal(t, maxWaiting/2, l.p.waiting, "the others are not kept in memory")

	at, err := l.p.offset(l.h.tasks)
	require.NoError(t, err)
	require.Equal(t, int64(10), at.At)
	heir := begin(t, log, at)
	heir.h.room[noisy], heir.h.room[quietFlow] = 1, 1
	heir.receive(10)
	require.Empty(t, heir.h.tasks, "it begins at the end: what is behind is read again beside it")
	require.True(t, heir.catchUp(100))
	require.Len(t, heir.h.tasks, 1)
	require.Equal(t, int64(10), heir.h.tasks[0].Record.Offset)
}

// Large records of a flow that is behind take no more memory than small ones, and places of what has begun are free again.
func TestWhatWaitsIsBoundedByItsBytes(t *testing.T) {
	t.Parallel()
	const noisy, size = 1, 100 << 10
	var log []*kgo.Record
	for o := range int64(100) {
		r := recordOf(noisy, o)
		r.Value = make([]byte, size)
		log = append(log, r)
	}
	l := begin(t, log, Offset{})
	l.receive(len(log))
	const places = maxWaitingBytes / 2 / size // a flow by itself has half
	require.Equal(t, places, l.p.waiting)
	require.True(t, l.p.behind[noisy].missed, "the others are read again")
	l.h.room[noisy] = places - minWaiting
	l.s.offerPartition(l.p)
	require.Len(t, l.h.tasks, places-minWaiting)
	for range 10 {
		l.catchUp(len(log))
	}
	require.Equal(t, places, l.p.waiting, "as many again")
	sum := 0
	for _, r := range l.p.behind[noisy].waiting {
		sum += sizeOf(r)
	}
	require.Equal(t, sum, l.p.waitingBytes)
}

// With too little room for all, the record that has waited longest is offered first, be its flow behind or not.
func TestThePartitionThatHasWaitedLongestIsFirst(t *testing.T) {
	t.Parallel()
	at := func(second int64) *kgo.Record { return &kgo.Record{Key: []byte{1}, Timestamp: time.Unix(second, 0)} }
	assigned := make([]assigned, 4)
	for i := range assigned {
		assigned[i].Partition = int32(i)
	}
	a := newAssignment(t.Context(), assigned)
	partition := func(n int32) *partition { return a.partitions[kafka.TopicPartition{Partition: n}] }
	partition(0).backlog = []*kgo.Record{at(30), at(10)} // its first counts: a partition keeps its order
	partition(1).backlog = []*kgo.Record{at(50)}
	partition(1).behind[1] = &laggard{waiting: []*kgo.Record{at(20), at(60)}}
	partition(2).backlog = []*kgo.Record{at(40)}
	var order []int32
	for _, p := range a.byAge() {
		order = append(order, p.Partition)
	}
	require.Equal(t, []int32{3, 1, 0, 2}, order, "3 has nothing to offer")
}

// When more flows are behind than the metadata can tell of, the partition waits, as it would without flows.
func TestTooManyFlowsThatAreBehindStopThePartition(t *testing.T) {
	t.Parallel()
	var log []*kgo.Record
	for o := range int64(maxBehind + 10) {
		log = append(log, recordOf(Flow(o+1), o))
	}
	l := begin(t, log, Offset{})
	l.receive(len(log))
	require.Len(t, l.p.behind, maxBehind)
	require.Len(t, l.p.backlog, 10)
	require.Equal(t, int64(maxBehind), l.p.backlog[0].Offset)
	for flow := range Flow(len(log)) {
		l.h.room[flow+1] = 1
	}
	l.s.offerPartition(l.p)
	require.Len(t, l.h.tasks, len(log), "all of them")
}
