//go:build !linux

package bench

// HasUsage reports whether this system tells what processes use.
const HasUsage = false

// Usage is known on Linux only.
func Usage() (CPU, error) { return CPU{}, nil }

// PeakMemory is known on Linux only.
func PeakMemory(int) (float64, error) { return 0, nil }
