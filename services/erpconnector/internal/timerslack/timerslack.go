// Package timerslack lets the kernel end the waits of this process a little late, so that it wakes less often.
//
// While anything goes on, a thread of Go's runtime (sysmon) looks at it every 20 µs, which Linux makes 70 µs: it may end each wait of a
// thread 50 µs late, its timer slack. At 50 orders a second these looks took a fifth of the process's CPU. With a wider slack there are
// fewer. Other waits may end that late, too; Go's timers count in whole milliseconds anyway.
package timerslack

import "time"

// kernels is the slack that Linux gives a process. Another one was chosen by somebody, and stays: systemd has TimerSlackNSec.
const kernels = 50 * time.Microsecond

// wide is the slack that Widen gives this process, and the programs that it starts.
const wide = 500 * time.Microsecond
