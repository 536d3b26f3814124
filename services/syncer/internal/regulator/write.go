package regulator

import (
	"context"
	"time"

	"github.com/erpconnector/erpconnector/shared/pace"
	"github.com/erpconnector/erpconnector/shared/run"
)

// writeInterval is how long changes are collected that nobody waits for.
const writeInterval = 250 * time.Millisecond

// writeChanges writes what this process has changed, until ctx ends.
func (r *Regulator) writeChanges(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.write:
		case <-r.changed:
			r.collect(ctx)
		}
		if err := r.flush(ctx); err != nil && ctx.Err() == nil {
			r.postgres.Report(r.Log, err)
			run.Sleep(ctx, writeInterval) // not at once again, as someone may ask all the time
			signal(r.write)
		}
	}
}

// collect waits for more changes, unless somebody waits for those that are there.
func (r *Regulator) collect(ctx context.Context) {
	enough := time.NewTimer(writeInterval)
	defer enough.Stop()
	select {
	case <-ctx.Done():
	case <-r.write:
	case <-enough.C:
	}
}

// flush writes all changes in one round trip, and with them what must be written before this process may act on it.
func (r *Regulator) flush(ctx context.Context) error {
	r.mu.Lock()
	reservation, taken := r.reserve()
	probe := r.askForProbe()
	r.writing, r.ops = r.ops, nil
	from, ops := r.base, make([]pace.Op, 0, len(r.writing)+2)
	for _, c := range r.writing {
		ops = append(ops, c.op)
	}
	for _, op := range []pace.Op{reservation, probe} {
		if op != nil {
			ops = append(ops, op)
		}
	}
	r.mu.Unlock()
	if len(ops) == 0 {
		return nil
	}
	after, _, err := r.Store.Change(ctx, from, ops...)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.ops, r.writing = append(r.writing, r.ops...), nil
		return err
	}
	r.writing, r.short = nil, false
	for i := range taken.Count {
		r.slots = append(r.slots, taken.At(i))
	}
	r.written = r.Now()
	if after.Version >= r.base.Version {
		r.know(after)
	} else {
		r.know(r.base)
	}
	r.beginProbe()
	r.grant()
	return nil
}
