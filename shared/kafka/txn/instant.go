package txn

import "time"

// instant is a moment by two clocks. The wall clock may be set back; the monotonic clock does not run while the machine
// sleeps.
type instant struct {
	monotonic time.Duration // since the process began
	wall      time.Time
}

var began = time.Now()

func instantOf(t time.Time) instant { return instant{monotonic: t.Sub(began), wall: t.Round(0)} }

// since returns the time since the other instant, by the clock that counts more.
func (i instant) since(o instant) time.Duration {
	return max(i.monotonic-o.monotonic, i.wall.Sub(o.wall))
}
