package audit

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
)

func counted(r *Report, key string, change func(j *judgement)) {
	j := &judgement{o: &order{key: key, events: []uint64{1}}, before: func(place) bool { return false }}
	change(j)
	r.count(j)
}

// An order is relayed, under way or broken; and ended, alive, not requested or broken.
func TestEachOrderIsInBothSums(t *testing.T) {
	t.Parallel()
	r := newReport(Params{})
	counted(r, "1", func(*judgement) {})
	counted(r, "2", func(j *judgement) { j.underWay = 1 })
	counted(r, "3", func(j *judgement) { j.missing = 1; j.found(RowNotInKafka, nil, nil) })
	counted(r, "outlet/1", func(j *judgement) { j.o.gate = &gateRow{generation: 1, state: domain.GateHeld} })
	counted(r, "none", func(j *judgement) { j.o.events = nil })
	counted(r, "refused", func(j *judgement) { j.o.events, j.o.gate = nil, &gateRow{} })
	r.finish()
	require.Equal(t, []*Counts{
		{Source: "default", Accepted: 3, Relayed: 1, UnderWay: 1, NotRequested: 2, Broken: 1},
		{Source: "outlet", Accepted: 1, Relayed: 1, Alive: Alive{Outbox: 1}},
	}, r.Sources)
	total := r.Total()
	require.Equal(t, 4, total.Accepted)
	require.Equal(t, total.Accepted, total.Success+total.Failed+total.Alive.Sum()+total.NotRequested+total.Broken)
	require.False(t, r.Conserved())
}

func TestViolationsAreListedByOrderUpToTheLimit(t *testing.T) {
	t.Parallel()
	list := func(limit int) *Report {
		r := newReport(Params{Limit: limit})
		counted(r, "2", func(j *judgement) { j.found(GateKey, nil, nil); j.found(EndedTwice, nil, nil) })
		counted(r, "1", func(j *judgement) { j.found(TwoAlive, nil, nil) })
		r.finish()
		return r
	}
	type listed struct {
		order string
		kind  Kind
	}
	var got []listed
	for _, v := range list(0).Violations {
		got = append(got, listed{v.Order, v.Kind})
	}
	require.Equal(t, []listed{{"1", TwoAlive}, {"2", EndedTwice}, {"2", GateKey}}, got, "the kinds of an order as the page lists them")
	short := list(2)
	require.Len(t, short.Violations, 2)
	require.Equal(t, 3, short.ViolationsAll)
	require.Equal(t, map[Kind]int{GateKey: 1, EndedTwice: 1, TwoAlive: 1}, short.Broken)
}

// Of more redrives than are listed the last ones are, whatever order their orders come in. One that stands in Kafka twice counts once.
func TestTheLastRedrivesAreListed(t *testing.T) {
	t.Parallel()
	r := newReport(Params{Limit: 2})
	for _, second := range []int64{4, 1, 5, 3, 2, 6} {
		d := Redrive{Source: "default", Order: fmt.Sprint(second), At: time.Unix(second, 0).UTC()}
		counted(r, d.Order, func(j *judgement) { j.o.redrives = []Redrive{d, d} })
		require.Less(t, len(r.Redrives), 4, "no more are kept")
	}
	r.finish()
	require.Equal(t, []string{"5", "6"}, []string{r.Redrives[0].Order, r.Redrives[1].Order})
	require.Len(t, r.Redrives, 2)
	require.Equal(t, 6, r.RedrivesAll)
}

// A key that is none is named as it is.
func TestAViolationNamesItsOrder(t *testing.T) {
	t.Parallel()
	for key, want := range map[string][2]string{"1": {"default", "1"}, "outlet/a%2Fb": {"outlet", "a/b"}, "%zz": {"", "%zz"}} {
		j := &judgement{o: &order{key: key}, partition: 3}
		v := j.found(Unreadable, &generation{number: 2, syncID: 9}, &place{0, 7})
		require.Equal(t, want, [2]string{v.Source, v.Order})
		require.Equal(t, []any{2, int64(9), int32(3), int64(7), names[0]}, []any{v.Generation, v.SyncID, *v.Partition, *v.Offset, v.Topic})
	}
}
