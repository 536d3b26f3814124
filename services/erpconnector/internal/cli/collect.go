package cli

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// How much is allocated before memory is collected, in percent of what is in use; GOGC says another number. Go's own is 100. Services
// have 10 to 60 MB in use and allocate fast: at 400 a burst of orders takes about a twentieth less CPU than at 200. A process that has more in use
// collects sooner, so that this takes at most 128 MB more than 200 would.
const (
	minGCPercent = 200
	maxGCPercent = 400
	maxGarbage   = 256 << 20 // in bytes; what minGCPercent asks for, where that is more
)

func gcPercentFor(inUse uint64) int {
	return int(min(maxGCPercent, max(minGCPercent, maxGarbage*100/max(inUse, 1)))) //nolint:gosec // between the two
}

// collectRarely sets the percentage now, and after each collection.
func collectRarely() {
	debug.SetGCPercent(maxGCPercent)
	afterNextCollection(maxGCPercent)
}

// afterNextCollection waits for the collection of an object that nobody uses.
func afterNextCollection(percent int) {
	type unused struct{ _ [16]byte } // as large as the collector frees by itself
	runtime.AddCleanup(new(unused), func(before int) {
		now := gcPercentFor(readMetric("/gc/heap/live:bytes"))
		if now != before { // it stops the world, for some microseconds
			debug.SetGCPercent(now)
		}
		afterNextCollection(now)
	}, percent)
}

func readMetric(name string) uint64 {
	sample := []metrics.Sample{{Name: name}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
