//go:build !failpoints

// Package failpoint marks the places where tests kill the process. Without the build tag failpoints it does nothing.
package failpoint

// Hit kills the process with SIGKILL when the build has the tag failpoints and ERPCONNECTOR_FAILPOINT names it:
// "name", or "name:3" for the third time it is passed; ERPCONNECTOR_FAILPOINT_FILE names a file that arms one later.
func Hit(string) {}
