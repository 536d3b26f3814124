package syncer

import (
	"context"
	"sync"
	"time"

	"github.com/erpconnector/erpconnector/shared/run"
)

// callersInterval is how often the number of callers is compared with the setting.
const callersInterval = 200 * time.Millisecond

// callers are as many as calls may be in flight in the whole installation: this process may be the only one that calls. How many of
// them call at once, the pace says.
type callers struct {
	want func() int

	mu      sync.Mutex
	running int
}

// run keeps their number at what the setting says, until ctx ends. one is a caller: it ends when surplus reports true after a task.
func (c *callers) run(ctx context.Context, workers *sync.WaitGroup, one func(surplus func() bool)) {
	for ctx.Err() == nil {
		c.mu.Lock()
		for ; c.running < c.want(); c.running++ {
			workers.Go(func() { one(c.isSurplus) })
		}
		c.mu.Unlock()
		run.Sleep(ctx, callersInterval)
	}
}

// isSurplus reports whether the caller that asks must end, as there are more than the setting says.
func (c *callers) isSurplus() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running <= c.want() {
		return false
	}
	c.running--
	return true
}
