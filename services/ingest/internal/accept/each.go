package accept

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// shareOfWorker is how many events a further core must have to be worth its start.
const shareOfWorker = 16

// each calls work for 0 to n-1, on several cores when there are many. When a call panics, so does each, in the caller's goroutine, where
// the HTTP server takes it as the end of one request.
func each(n int, work func(i int)) {
	workers := min(runtime.GOMAXPROCS(0), n/shareOfWorker)
	if workers < 2 {
		for i := range n {
			work(i)
		}
		return
	}
	var next atomic.Int64
	var panicked atomic.Pointer[any]
	var working sync.WaitGroup
	for range workers {
		working.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					panicked.Store(&p)
				}
			}()
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				work(i)
			}
		})
	}
	working.Wait()
	if p := panicked.Load(); p != nil {
		panic(*p)
	}
}
