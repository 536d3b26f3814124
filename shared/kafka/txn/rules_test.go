package txn

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/kafka"
)

// A process takes its ids from its lease, and another one that ends its transactions must find the lease by the id.
func TestTheIdsOfAProducer(t *testing.T) {
	t.Parallel()
	i := identity{base: "p.copier-0"}
	var ids []string
	for range maxIDs + 1 {
		ids = append(ids, i.current())
		require.Equal(t, "p.copier-0", baseOf(i.current()))
		i.endingChecks = 2
		i.next()
		require.Zero(t, i.endingChecks, "another id is judged anew")
	}
	require.Equal(t, []string{
		"p.copier-0", "p.copier-0.1", "p.copier-0.2", "p.copier-0.3", "p.copier-0.4", "p.copier-0.5", "p.copier-0.6", "p.copier-0.7", "p.copier-0",
	}, ids, "after the last the first comes again")
	for id, base := range map[string]string{
		"copier-0": "copier-0", "copier-0.0": "copier-0.0", "copier-0.8": "copier-0.8", "copier-0.x": "copier-0.x", "copier-0.-1": "copier-0.-1",
		"v1.copier-0": "v1.copier-0", "v1.copier-0.3": "v1.copier-0", "": "", ".": ".",
	} {
		require.Equal(t, base, baseOf(id), id)
	}
}

// What the metadata says was done is not done again. So metadata that is damaged is a loss, and never read as something else.
func TestMetadataThatCannotBeRead(t *testing.T) {
	t.Parallel()
	encoded := func(raw ...byte) string { return base64.RawStdEncoding.EncodeToString(raw) }
	for name, metadata := range map[string]string{
		"no_base64":                 "no base64!",
		"padding":                   base64.StdEncoding.EncodeToString([]byte{1, 1}),
		"another_version":           encoded(3, 1, 1),
		"a_length_that_is_cut":      encoded(1, 0x80),
		"a_length_beyond_64_bits":   encoded(1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1),
		"a_run_that_is_too_long":    encoded(1, 0x81, 0x80, 0x80, 0x80, 0x80, 0x20), // 1<<40 + 1
		"runs_that_are_too_long":    encoded(1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 1),
		"runs_that_are_missing":     encoded(2, 1, 1),
		"a_flow_without_a_place":    encoded(2, 0, 0, 7),
		"a_flow_that_is_cut":        encoded(2, 0, 0, 7, 0, 2, 1),
		"one_that_a_person_has_put": "reset by jane",
	} {
		_, err := parse(5, metadata)
		require.ErrorIs(t, err, errMetadata, name)
		m := &member{group: "g", log: quiet}
		_, err = m.assign("in", &kmsg.OffsetFetchResponseGroupTopicPartition{Offset: 5, Metadata: &metadata})
		require.ErrorIs(t, err, ErrOffsetMissing, name)
	}
	for metadata, done := range map[string]map[int64]bool{
		"": {}, encoded(1): {}, encoded(1, 2): {}, encoded(1, 0, 2): {5: true, 6: true}, encoded(1, 1, 0, 1, 1): {7: true},
	} {
		tracker := restored(t, 5, metadata)
		require.True(t, tracker.isDone(4), "below the position all is done")
		for o := range int64(5) {
			require.Equal(t, done[5+o], tracker.isDone(5+o), "%s: %d", metadata, 5+o)
		}
	}
}

// A tracker that was made to begin more than the metadata can tell of says so, and commits nothing that the brokers would
// refuse.
func TestMetadataBeyondTheLimitIsAnError(t *testing.T) {
	t.Parallel()
	tracker := newTracker(0, nil)
	var done []int64
	for o := range int64(2 * maxRawBytes) {
		tracker.begin(o)
		if o%2 == 1 {
			done = append(done, o)
		}
	}
	_, _, err := tracker.snapshot(done)
	require.EqualError(t, err, "offset metadata has 8002 bytes, more than 4096: more records were begun than it can tell of")
	tracker.confirm(done)
	_, _, err = tracker.snapshot(nil)
	require.Error(t, err)
}

func TestThePositionOfAPartition(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	for name, c := range map[string]struct {
		offset     int64
		partition  int32
		partitions int
		at         int64
		missing    bool
	}{
		"committed":                       {offset: 7, at: 7},
		"committed_at_the_start":          {offset: 0, at: 0},
		"never_committed":                 {offset: -1, missing: true},
		"added_beyond_the_setting":        {offset: -1, partition: 3, partitions: 3, at: 0},
		"added_beyond_it_and_committed":   {offset: 9, partition: 3, partitions: 3, at: 9},
		"the_last_one_of_the_setting":     {offset: -1, partition: 2, partitions: 3, missing: true},
		"as_many_as_there_are_in_a_topic": {offset: -1, partition: 3, missing: true},
	} {
		m := &member{cfg: kafka.Config{Partitions: c.partitions}, log: slog.New(slog.NewTextHandler(&log, nil))}
		a, err := m.assign("in", &kmsg.OffsetFetchResponseGroupTopicPartition{Offset: c.offset, Partition: c.partition})
		if c.missing {
			require.ErrorIs(t, err, ErrOffsetMissing, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, c.at, a.committed.position, name)
		require.Equal(t, kafka.TopicPartition{Topic: "in", Partition: c.partition}, a.TopicPartition)
	}
	require.Equal(t, 2, strings.Count(log.String(), "the topic has more partitions than KAFKA_PARTITIONS"))
	require.Contains(t, log.String(), "topic=in partition=3 kafka_partitions=3")
}

func TestPositionsOfAGroup(t *testing.T) {
	t.Parallel()
	responses := func(metadata string) kadm.OffsetResponses {
		var offsets kadm.OffsetResponses
		offsets.Add(kadm.OffsetResponse{Offset: kadm.Offset{Topic: "in", Partition: 0, At: 5, Metadata: metadata}})
		offsets.Add(kadm.OffsetResponse{Offset: kadm.Offset{Topic: "in", Partition: 1, At: -1}})
		return offsets
	}
	positions, err := positionsOf(responses("AQECAQE"))
	require.NoError(t, err)
	for offset, done := range map[int64]bool{0: true, 4: true, 5: false, 6: true, 7: true, 8: false, 9: true, 10: false} {
		require.Equal(t, done, positions.Done("in", 0, 0, offset), "offset %d", offset)
	}
	at, known := positions.At("in", 0)
	require.Equal(t, int64(5), at)
	require.True(t, known)
	for _, unknown := range []kafka.TopicPartition{{Topic: "in", Partition: 1}, {Topic: "in", Partition: 2}, {Topic: "out"}} {
		_, known = positions.At(unknown.Topic, unknown.Partition)
		require.False(t, known, "%v", unknown)
		require.False(t, positions.Done(unknown.Topic, unknown.Partition, 0, 0), "nothing is done where nothing was committed")
	}
	_, err = positionsOf(responses("?"))
	require.ErrorIs(t, err, errMetadata)
}

// The answer of a coordinator decides whether work is dropped or committed again, so each code must mean the one or the other.
func TestRefusalsOfOffsets(t *testing.T) {
	t.Parallel()
	o := &Offsets{Group: "g", Member: "m", Generation: 3}
	answer := func(codes ...int16) *kmsg.TxnOffsetCommitResponse {
		resp := &kmsg.TxnOffsetCommitResponse{Topics: []kmsg.TxnOffsetCommitResponseTopic{{Topic: "in"}}}
		for partition, code := range codes {
			resp.Topics[0].Partitions = append(resp.Topics[0].Partitions, kmsg.TxnOffsetCommitResponseTopicPartition{Partition: int32(partition), ErrorCode: code})
		}
		return resp
	}
	require.NoError(t, o.refusal(answer(0, 0)))
	for _, owner := range []*kerr.Error{kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.StaleMemberEpoch, kerr.FencedInstanceID} {
		err := o.refusal(answer(0, owner.Code))
		require.ErrorIs(t, err, ErrNotOwner)
		require.ErrorIs(t, err, owner)
		require.ErrorContains(t, err, "group g, in partition 1: the consumer group refused the offsets: ")
	}
	for _, other := range []*kerr.Error{kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.InvalidTxnState, kerr.OffsetMetadataTooLarge, kerr.UnknownTopicOrPartition} {
		err := o.refusal(answer(other.Code))
		require.ErrorIs(t, err, other)
		require.NotErrorIs(t, err, ErrNotOwner, "%s is no word about who owns the partition", other.Message)
	}
}

func TestTheRequestThatAddsOffsets(t *testing.T) {
	t.Parallel()
	o := &Offsets{Group: "g", Member: "m", Generation: 3, topicIDs: map[string][16]byte{"in": {7}}}
	require.NoError(t, (*Offsets)(nil).write(t.Context(), nil, "id", true), "none")
	require.NoError(t, o.write(t.Context(), nil, "id", true), "of no partition")
	require.ErrorIs(t, (&Offsets{Group: "g"}).write(t.Context(), nil, "id", true), ErrNotOwner, "without a member the broker would take them from anybody")
	o.Add("in", 0, Offset{At: 5, Metadata: "AQECAQE"})
	o.Add("in", 1, Offset{At: 9})
	o.Add("in", 0, Offset{At: 6, Metadata: "AQE"})
	req := o.request("p.copier-0", 17, 4)
	require.Equal(t, []any{"p.copier-0", "g", int64(17), int16(4), "m", int32(3)},
		[]any{req.TransactionalID, req.Group, req.ProducerID, req.ProducerEpoch, req.MemberID, req.Generation})
	require.Len(t, req.Topics, 1)
	require.Equal(t, [16]byte{7}, [16]byte(req.Topics[0].TopicID))
	got := map[int32]Offset{}
	for _, p := range req.Topics[0].Partitions {
		got[p.Partition] = Offset{p.Offset, *p.Metadata}
		require.Equal(t, int32(-1), p.LeaderEpoch)
	}
	require.Equal(t, map[int32]Offset{0: {6, "AQE"}, 1: {9, ""}}, got, "the last word about a partition counts")
}

func TestABusyCoordinatorIsAskedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, busy := range []error{kerr.ConcurrentTransactions, fmt.Errorf("x: %w", kerr.CoordinatorLoadInProgress)} {
			tries := 0
			began := time.Now()
			require.NoError(t, retryWhileBusy(t.Context(), func() error {
				if tries++; tries < 10 {
					return busy
				}
				return nil
			}))
			require.Equal(t, 10, tries)
			require.Less(t, time.Since(began), time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err := retryWhileBusy(ctx, func() error { return busy })
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorIs(t, err, busy, "it says what it waited for")
		}
		tries := 0
		require.ErrorIs(t, retryWhileBusy(t.Context(), func() error { tries++; return kerr.InvalidProducerEpoch }), kerr.InvalidProducerEpoch)
		require.Equal(t, 1, tries, "another error is not tried again")
	})
}

func TestErrorsOfATransaction(t *testing.T) {
	t.Parallel()
	for err, refusal := range map[error]bool{
		kerr.MessageTooLarge: true, kerr.RecordListTooLarge: true, kerr.InvalidRecord: true, kerr.InvalidTimestamp: true,
		kerr.NotEnoughReplicas: false, kerr.InvalidProducerEpoch: false, context.DeadlineExceeded: false,
	} {
		require.Equal(t, refusal, IsRefusal(fmt.Errorf("x: %w", err)), "%v", err)
	}
	refused := &RefusedError{kerr.MessageTooLarge}
	require.ErrorIs(t, refused, kerr.MessageTooLarge)
	require.ErrorContains(t, refused, "refused by the brokers for its content: MESSAGE_TOO_LARGE")
	cause := errors.New("no leader")
	unavailable := &UnavailableError{Records: []int{1, 4}, Err: cause}
	require.ErrorIs(t, unavailable, cause)
	require.EqualError(t, unavailable, "2 records were not written in time: no leader")

	w := newWriting(3)
	require.Equal(t, cause, w.unfinished(cause), "where nothing was written the cause may be anything")
	w.note(0, &kgo.Record{Topic: "out"}, nil)
	w.note(1, &kgo.Record{Topic: "out", Partition: 1}, nil)
	w.note(2, &kgo.Record{Topic: "out", Partition: 2}, cause)
	<-w.ended
	var some *UnavailableError
	require.ErrorAs(t, w.failure(), &some)
	require.Equal(t, []int{2}, some.Records)
	require.ErrorIs(t, NewProducer(kafka.Config{}, "p").Commit(t.Context(), Batch{}), ErrNoRecords)
}

// The records of a held lane wait, each time for longer, and what is said of it is said once.
func TestAHeldLaneWaitsForLonger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		l := NewLanes[int32](slog.New(slog.NewTextHandler(&log, nil)))
		require.False(t, l.IsHeld(1))
		require.False(t, l.Any())
		require.Nil(t, l.Due())
		l.Written([]int32{1})
		l.Try([]int32{1})
		var waits []time.Duration
		for range 8 {
			l.Hold(1, "p.out", errors.New("no leader"))
			l.Hold(1, "p.more", errors.New("no leader"))
			require.True(t, l.IsHeld(1))
			require.False(t, l.IsHeld(2), "others go on")
			began := time.Now()
			for len(l.Due()) == 0 {
				time.Sleep(10 * time.Millisecond)
			}
			waits = append(waits, time.Since(began))
			require.Equal(t, map[int32][]string{1: {"p.more", "p.out"}}, l.Due())
			l.Try([]int32{1, 2})
			require.False(t, l.IsHeld(1), "on trial it goes on")
			require.True(t, l.Any())
			require.Empty(t, l.Due(), "and is not due again")
		}
		require.IsIncreasing(t, waits[:5])
		require.GreaterOrEqual(t, waits[0], laneMinWait/2)
		require.LessOrEqual(t, waits[7], laneMaxWait*3/2)
		l.Hold(2, "p.out", errors.New("no leader"))
		l.Written([]int32{1, 2})
		require.True(t, l.IsHeld(2), "what was on its way when the lane was held ends no wait: nobody would be told to go on")
		l.Try([]int32{2})
		l.Written([]int32{2})
		require.False(t, l.Any())
		require.Equal(t, 2, strings.Count(log.String(), "a partition takes no records; what is in it waits, others go on"), "once for each lane")
		require.Equal(t, 2, strings.Count(log.String(), "a partition takes records again"))
		l.Hold(3, "p.out", errors.New("no leader"))
		l.Forget()
		require.False(t, l.IsHeld(3), "the partitions have another owner")
	})
}

// Symptom: on a busy machine a partition was held, and a commit that was on its way by then ended that wait. Nobody told the handler,
// which kept the lane's tasks back: their orders waited until the next restart. So a lane that is held must be tried before it goes on.
func TestAHandlerThatKeepsTasksBackIsToldToGoOn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		lanes, kept := NewLanes[int32](slog.New(slog.DiscardHandler)), map[int32]bool{}
		drawn := func(t *rapid.T) int32 { return rapid.Int32Range(0, 1).Draw(t, "lane") }
		t.Repeat(map[string]func(*rapid.T){
			"a_record_is_not_taken": func(t *rapid.T) { lanes.Hold(drawn(t), "p.out", errors.New("no leader")) },
			"a_record_is_taken":     func(t *rapid.T) { lanes.Written([]int32{drawn(t)}) },
			"a_task_comes": func(t *rapid.T) {
				if lane := drawn(t); lanes.IsHeld(lane) {
					kept[lane] = true
				}
			},
			"the_brokers_are_asked": func(t *rapid.T) {
				if lane := drawn(t); lanes.IsHeld(lane) {
					lanes.Try([]int32{lane})
					kept[lane] = false // Resumed
				}
			},
			"": func(t *rapid.T) {
				for lane, waits := range kept {
					require.True(t, !waits || lanes.IsHeld(lane), "tasks of lane %d are kept back, and it is not watched any more", lane)
				}
			},
		})
	})
}

// finishing is tasks of lane 0 that write so many bytes each.
func finishing(sizes ...int) (tasks []*Task) {
	a := newAssignment(context.Background(), []assigned{{}})
	for i, size := range sizes {
		a.inHand.Add(1)
		part := a.partitions[kafka.TopicPartition{}]
		tasks = append(tasks, &Task{
			Record: &kgo.Record{Offset: int64(i), Value: make([]byte, size)}, part: part, records: []*kgo.Record{{Topic: "out", Value: make([]byte, size)}}, writes: true,
		})
	}
	return tasks
}

func offsetsOf(tasks []*Task) (out []int64) {
	for _, t := range tasks {
		out = append(out, t.Record.Offset)
	}
	return out
}

// A batch takes the oldest tasks, as many as fit and at least one. What waits for its lane keeps its place and delays no other.
func TestWhatABatchTakes(t *testing.T) {
	t.Parallel()
	nothing := func(*Task) bool { return false }
	for name, c := range map[string]struct {
		sizes      []int
		maxTasks   int
		maxBytes   int
		waits      func(*Task) bool
		take, rest []int64
		signal     bool
	}{
		"nothing":                      {maxTasks: 2, maxBytes: 10},
		"all":                          {sizes: []int{3, 3, 3}, maxTasks: 3, maxBytes: 10, take: []int64{0, 1, 2}},
		"as_many_as_may_be":            {sizes: []int{3, 3, 3}, maxTasks: 2, maxBytes: 10, take: []int64{0, 1}, rest: []int64{2}, signal: true},
		"as_much_as_may_be":            {sizes: []int{5, 5, 1}, maxTasks: 9, maxBytes: 9, take: []int64{0}, rest: []int64{1, 2}, signal: true},
		"exactly_as_much":              {sizes: []int{5, 4}, maxTasks: 9, maxBytes: 9, take: []int64{0, 1}},
		"one_that_is_too_large":        {sizes: []int{50, 1}, maxTasks: 9, maxBytes: 9, take: []int64{0}, rest: []int64{1}, signal: true},
		"what_waits_is_passed_over":    {sizes: []int{1, 1, 1}, maxTasks: 2, maxBytes: 9, waits: func(t *Task) bool { return t.Record.Offset == 0 }, take: []int64{1, 2}, rest: []int64{0}},
		"what_only_waits_is_no_signal": {sizes: []int{1, 1}, maxTasks: 2, maxBytes: 9, waits: func(*Task) bool { return true }, rest: []int64{0, 1}},
	} {
		f := newFinished()
		f.tasks = finishing(c.sizes...)
		if c.waits == nil {
			c.waits = nothing
		}
		taken, full := f.take(c.maxTasks, c.maxBytes, c.waits)
		require.Equal(t, c.take, offsetsOf(taken), name)
		require.Equal(t, c.signal, full, name)
		require.Equal(t, c.rest, offsetsOf(f.tasks), name)
		require.Equal(t, c.signal, len(f.signal) == 1, "%s: who takes is told of the rest", name)
	}
	f := newFinished()
	tasks := finishing(1, 1, 1)
	f.put(tasks[2])
	f.put()
	require.Len(t, f.signal, 1, "two signals are one")
	<-f.signal
	f.putFirst(tasks[:2])
	require.Empty(t, f.signal)
	taken, full := f.take(9, 9, nothing)
	require.Equal(t, []int64{0, 1, 2}, offsetsOf(taken))
	require.False(t, full)
}

func TestATaskKnowsWhatItWrites(t *testing.T) {
	t.Parallel()
	task := finishing(10)[0]
	task.session = &Session{finished: newFinished()}
	require.Equal(t, 10, task.size())
	task.Replace(&kgo.Record{Value: make([]byte, 3)}, &kgo.Record{Value: make([]byte, 4)})
	require.Equal(t, 7, task.size())
	require.Len(t, task.Records(), 2)
	task.Replace()
	task.FinishPrepared()
	require.Equal(t, 30, task.size(), "what Prepare will give is estimated by the consumed record")
	require.True(t, writes([]*Task{task}))
	task.Finish()
	require.Zero(t, task.size())
	require.False(t, writes([]*Task{task}), "it waits for others")
	require.True(t, writes([]*Task{task, finishing(1)[0]}))
	task.part.assignment.stop()
	require.True(t, task.Stopping())
	require.True(t, writes([]*Task{task}), "a partition that is taken away does not wait")
	task.part.end = 1
	require.True(t, task.MayBeRepeated())
	task.part.end = 0
	require.False(t, task.MayBeRepeated(), "it came after this process got the partition")
	task.part.end = math.MaxInt64
	require.True(t, task.MayBeRepeated(), "where the end is not known, a former owner may have begun it")
	require.NoError(t, task.Context().Err())
	task.part.assignment.cancel()
	require.Error(t, task.Context().Err())
	task.Abandon()
	<-task.part.assignment.drained()
}
