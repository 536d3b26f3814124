package txn

import "time"

// instant is a moment by two clocks: the wall clock may be set back, the monotonic one stands still while the machine sleeps.
type instant struct {
	monotonic time.Duration // since the process began
	wall      time.Time
}

var began = time.Now()

func instantOf(t time.Time) instant { return instant{monotonic: t.Sub(began), wall: t.Round(0)} }

// since is how long ago the other was, by the clock that says more.
func (i instant) since(o instant) time.Duration {
	return max(i.monotonic-o.monotonic, i.wall.Sub(o.wall))
}
