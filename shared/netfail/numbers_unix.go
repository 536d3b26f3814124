//go:build unix

package netfail

import "syscall"

const refused, taken = syscall.ECONNREFUSED, syscall.EADDRINUSE
