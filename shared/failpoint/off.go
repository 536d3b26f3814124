//go:build !failpoints

// Package failpoint marks the places where tests kill the process. Without the build tag failpoints it does nothing.
package failpoint

// Hit does nothing in this build. With the build tag failpoints it kills the process with SIGKILL when
// ERPCONNECTOR_FAILPOINT names this point, "name", or "name:3" for the third time. ERPCONNECTOR_FAILPOINT_FILE names a
// file that can arm a point later.
func Hit(string) {}
