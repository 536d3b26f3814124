//go:build !linux

package testkit

// fastDir is a folder whose files stay in memory; only Linux has one for all programs.
func fastDir() string { return "" }
