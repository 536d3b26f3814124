//go:build unix

package stage

import "syscall"

// Supported reports whether the harness can do to processes here what it must.
const Supported = true

func (p *process) halt() { p.signal(syscall.SIGSTOP) }

func (p *process) goOn() { p.signal(syscall.SIGCONT) }
