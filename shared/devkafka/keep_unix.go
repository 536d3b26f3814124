//go:build unix

package devkafka

// Keeps reports whether the broker's data outlives it.
const Keeps = true
