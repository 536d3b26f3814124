package platform

import "context"

// Loop is work that runs as long as its process: a service's consumer, the relay. Run blocks until ctx ends, finishes
// or hands over what is in flight, and then returns nil. Any error means the service cannot go on: the process stops
// with a non-zero code and is started again by whoever supervises it.
type Loop interface {
	Name() string
	Run(ctx context.Context) error
}

// Probe tells readiness: Check returns nil when the service can do its work now. It is called every few seconds.
type Probe struct {
	Name  string
	Check func(ctx context.Context) error
}
