package txn

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/run"
)

// Positions are a group's committed positions, by topic (with the prefix) and partition, with what is done after them.
type Positions map[string]map[int32]position

type position struct {
	offset int64
	done   committed
}

// Done reports whether a record of a flow is done. Where the group knows no flows, any will do.
func (p Positions) Done(topic string, partition int32, flow Flow, offset int64) bool {
	at, ok := p[topic][partition]
	return ok && at.offset >= 0 && at.done.isDone(flow, offset)
}

// At returns the first offset of a partition that is not done. known is false when the group never committed one.
func (p Positions) At(topic string, partition int32) (offset int64, known bool) {
	at, ok := p[topic][partition]
	return at.offset, ok && at.offset >= 0
}

// ReadPositions reads the positions of a group (without the prefix). It waits until no open transaction has offsets of
// the group. The caller need not be a member.
func ReadPositions(ctx context.Context, cfg kafka.Config, admin *kadm.Client, group string) (Positions, error) {
	for {
		offsets, err := admin.FetchOffsets(kadm.RequireStable(ctx), cfg.Group(group))
		if err == nil {
			err = offsets.Error()
		}
		switch {
		case err == nil:
			return positionsOf(offsets)
		case !errors.Is(err, kerr.UnstableOffsetCommit):
			return nil, fmt.Errorf("reading the positions of group %s: %w", group, err)
		}
		if !run.Sleep(ctx, 20*time.Millisecond) {
			return nil, ctx.Err()
		}
	}
}

func positionsOf(offsets kadm.OffsetResponses) (Positions, error) {
	out := Positions{}
	var failed error
	offsets.Each(func(o kadm.OffsetResponse) {
		done, err := parse(o.At, o.Metadata)
		failed = errors.Join(failed, err)
		if out[o.Topic] == nil {
			out[o.Topic] = map[int32]position{}
		}
		out[o.Topic][o.Partition] = position{offset: o.At, done: done}
	})
	return out, failed
}
