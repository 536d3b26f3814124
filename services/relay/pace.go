package relay

import (
	"context"
	"time"

	"github.com/erpconnector/erpconnector/shared/run"
)

// The relay rests after a transaction in whose time many rows came. So the next one takes more: a transaction costs the broker about the
// same for ten orders as for fifty. While orders come one by one it does not rest.
const (
	restRows  = 16 // that come in the time of one transaction
	restTimes = 3. // what the transaction took
	maxRest   = 22 * time.Millisecond
)

// pace says when the relay rests. What counts is the rate at which rows come, not how many a transaction took: a rest makes the next
// transaction larger, and that would be the reason for the next rest. It is for one goroutine.
type pace struct {
	rests  run.Pace
	looked time.Time     // for the rows of the transaction that is under way, or was last
	rows   int           // of that transaction
	over   time.Duration // in which they came: since the look for those of the one before
}

func newPace() pace { return pace{rests: run.Pace{Rest: restTimes, Max: maxRest}} }

// begins notes that a transaction begins, and when its rows were looked for.
func (p *pace) begins(rows int, looked time.Time) {
	p.rows, p.over, p.looked = rows, looked.Sub(p.looked), looked
}

// ended notes that the transaction has ended.
func (p *pace) ended() {
	took := time.Since(p.looked)
	if came := float64(p.rows) * float64(took) / float64(max(took, p.over)); came >= restRows {
		p.rests.Worked(p.looked)
	}
}

// sleep waits until the rest is over. It is false when ctx ended first.
func (p *pace) sleep(ctx context.Context) bool { return p.rests.Sleep(ctx) }
