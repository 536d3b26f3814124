//go:build !linux

package timerslack

// Widen does nothing: only Linux has a timer slack that a process may choose.
func Widen() {}
