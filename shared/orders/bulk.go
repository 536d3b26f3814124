package orders

import (
	"context"
	"errors"

	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// Bulk is a decision of an operator about the open dead letters that a filter selects, the oldest first, at most its limit.
type Bulk struct {
	DeadLetterRequest // its ID is not used

	Filter deadletter.Filter
	DryRun bool // do nothing, and say what would be done
}

// BulkResult is what came of a Bulk, or would come.
type BulkResult struct {
	Selected int64 // all that the filter selects
	Letters  []BulkLetter
	More     bool // the limit left others out
}

// BulkLetter is one dead letter of a BulkResult.
type BulkLetter struct {
	deadletter.Entry

	Refused string // why nothing was done, or would be; empty else
}

// RedriveAll redrives what is selected. What is refused does not keep it from the others. With an error the result says what was done
// before.
func (o *Orders) RedriveAll(ctx context.Context, cfg kafka.Config, b Bulk) (BulkResult, error) {
	if !o.settings.Current().Enabled && !b.DryRun {
		return BulkResult{}, ErrDisabled
	}
	preview := func(e deadletter.Entry) error {
		if e.Generation == nil {
			return refuse("%s", whyNotRedriven(e))
		}
		return checkLoop(e, b.DeadLetterRequest)
	}
	return o.decideAll(ctx, b, preview, func(r DeadLetterRequest) (deadletter.Entry, error) { return o.Redrive(ctx, cfg, r) })
}

// DiscardAll discards what is selected.
func (o *Orders) DiscardAll(ctx context.Context, b Bulk) (BulkResult, error) {
	preview := func(deadletter.Entry) error { return nil }
	return o.decideAll(ctx, b, preview, func(r DeadLetterRequest) (deadletter.Entry, error) { return o.Discard(ctx, r) })
}

func (o *Orders) decideAll(ctx context.Context, b Bulk, preview func(deadletter.Entry) error, decide func(DeadLetterRequest) (deadletter.Entry, error)) (r BulkResult, err error) {
	b.Filter.State = deadletter.Open
	if r.Selected, err = deadletter.Count(ctx, o.pool, b.Filter); err != nil {
		return r, err
	}
	entries, more, err := deadletter.List(ctx, o.pool, b.Filter)
	if err != nil {
		return r, err
	}
	r.More = more
	for _, e := range entries {
		one := b.DeadLetterRequest
		one.ID = e.ID
		if b.DryRun {
			err = preview(e)
		} else if now, failed := decide(one); failed == nil {
			e, err = now, nil
		} else {
			err = failed
		}
		var refused *DeadLetterError
		switch {
		case errors.As(err, &refused):
			r.Letters = append(r.Letters, BulkLetter{e, refused.Why})
		case err != nil:
			return r, err
		default:
			r.Letters = append(r.Letters, BulkLetter{Entry: e})
		}
	}
	return r, nil
}
