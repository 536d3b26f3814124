//go:build !crashpoints

// Package crash marks the places where tests kill the process. Without the build tag crashpoints it does nothing.
package crash

// Point kills the process with SIGKILL when the build has the tag crashpoints and ERPCONNECTOR_CRASH_AT names it:
// "name", or "name:3" for the third time it is passed; ERPCONNECTOR_CRASH_FILE names a file that arms one later.
func Point(string) {}
