//go:build speed

package bench

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// openLoop asks at a fixed rate, over connections that are kept, whether or not the requests before are answered. It is one thread that
// sleeps in one epoll, with a timer of the system's: so it takes little of the processors that it shares with what it measures.
type openLoop struct {
	addr        string // to connect to
	connections int
	rate        int                              // requests a second
	requests    int                              // in all
	request     func(buffer []byte) (ask []byte) // appends the bytes of one
}

// openResult is what an openLoop saw.
type openResult struct {
	took    []time.Duration // of each request, from when it was due to its whole answer
	longest time.Duration   // of these, and
	at      time.Duration   // when it was due
	away    time.Duration   // the longest time that the thread came after its timer: then the machine stood still, or others had it
	cpu     float64         // seconds that the thread has used
}

// openConnection is a connection, and the request on it.
type openConnection struct {
	fd    int
	due   time.Duration
	got   []byte // of the answer so far
	inUse bool
}

// run asks until all are answered. A status other than 200 is an error.
func (l openLoop) run() (openResult, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	d := &openDriver{openLoop: l, result: openResult{took: make([]time.Duration, 0, l.requests)}}
	defer d.close()
	if err := d.prepare(); err != nil {
		return openResult{}, err
	}
	before, err := threadSeconds()
	if err != nil {
		return openResult{}, err
	}
	if err := d.begin(); err != nil {
		return openResult{}, err
	}
	for len(d.result.took) < l.requests {
		if err := d.turn(); err != nil {
			return openResult{}, err
		}
	}
	after, err := threadSeconds()
	d.result.cpu = after - before
	return d.result, err
}

// openDriver is a run of an openLoop.
type openDriver struct {
	openLoop
	result openResult
	began  time.Time
	turned time.Time // when it last looked
	sent   int
	epoll  int
	timer  int
	all    []*openConnection // by their place
	free   []*openConnection // the one that waits longest first
	events []unix.EpollEvent
	buffer []byte // of a request
	ticks  [8]byte
}

const timerPlace = -1

func (d *openDriver) prepare() (err error) {
	if d.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("making an epoll: %w", err)
	}
	if d.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return fmt.Errorf("making a timer: %w", err)
	}
	if err := d.watch(d.timer, timerPlace); err != nil {
		return err
	}
	for place := range d.connections {
		c, err := d.connect()
		if err != nil {
			return err
		}
		d.all, d.free = append(d.all, c), append(d.free, c)
		if err := d.watch(c.fd, place); err != nil {
			return err
		}
	}
	d.events = make([]unix.EpollEvent, d.connections+1)
	return nil
}

// begin starts the timer once the time runs: each of its ticks comes when a request is due, not a moment before.
func (d *openDriver) begin() error {
	d.began = time.Now()
	d.turned = d.began
	interval := unix.NsecToTimespec(int64(time.Second) / int64(d.rate))
	return unix.TimerfdSettime(d.timer, 0, &unix.ItimerSpec{Interval: interval, Value: interval}, nil)
}

// connect makes a connection that is read and written by the system's calls alone.
func (d *openDriver) connect() (*openConnection, error) {
	addr, err := net.ResolveTCPAddr("tcp4", d.addr)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("making a socket: %w", err)
	}
	c := &openConnection{fd: fd, got: make([]byte, 0, 4096)}
	to := &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte(addr.IP.To4())}
	return c, errors.Join(unix.Connect(fd, to), unix.SetNonblock(fd, true), unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
}

func (d *openDriver) watch(fd, place int) error {
	return unix.EpollCtl(d.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(place)}) //nolint:gosec // few
}

func (d *openDriver) close() {
	for _, c := range d.all {
		_ = unix.Close(c.fd)
	}
	_, _ = unix.Close(d.timer), unix.Close(d.epoll)
}

// turn waits for answers or the next request's time, and does what can be done.
func (d *openDriver) turn() error {
	n, err := unix.EpollWait(d.epoll, d.events, -1)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("waiting for answers: %w", err)
	}
	now := time.Now()
	d.result.away, d.turned = max(d.result.away, now.Sub(d.turned)-time.Second/time.Duration(d.rate)), now
	for _, e := range d.events[:max(n, 0)] {
		if e.Fd == timerPlace {
			_, _ = unix.Read(d.timer, d.ticks[:]) // so that it fires again
			continue
		}
		if err := d.read(d.all[e.Fd]); err != nil {
			return err
		}
	}
	return d.send()
}

// send sends what is due, as long as connections are free.
func (d *openDriver) send() error {
	for len(d.free) > 0 && d.sent < d.requests {
		due := time.Duration(d.sent) * time.Second / time.Duration(d.rate)
		if time.Since(d.began) < due {
			return nil
		}
		c := d.free[0]
		d.free = append(d.free[:0], d.free[1:]...)
		d.buffer = d.request(d.buffer[:0])
		c.due, c.inUse, c.got = due, true, c.got[:0]
		d.sent++
		if n, err := unix.Write(c.fd, d.buffer); err != nil || n < len(d.buffer) {
			return fmt.Errorf("sending request %d: %w", d.sent, err)
		}
	}
	return nil
}

// read takes what has come of an answer.
func (d *openDriver) read(c *openConnection) error {
	n, err := unix.Read(c.fd, c.got[len(c.got):cap(c.got)])
	if err != nil || n == 0 || !c.inUse {
		return fmt.Errorf("reading an answer: %d bytes, in use %t: %w", n, c.inUse, err)
	}
	c.got = c.got[:len(c.got)+n]
	whole, err := isWhole(c.got)
	if err != nil || !whole {
		return err
	}
	took := time.Since(d.began) - c.due
	d.result.took = append(d.result.took, took)
	if took > d.result.longest {
		d.result.longest, d.result.at = took, c.due
	}
	c.inUse = false
	d.free = append(d.free, c)
	return nil
}

var (
	okLine     = []byte("HTTP/1.1 200 ")
	headEnd    = []byte("\r\n\r\n")
	lengthName = []byte("\r\nContent-Length: ")
)

// isWhole reports whether the bytes are an answer with all of its body. It must be a 200 that says how long it is.
func isWhole(answer []byte) (bool, error) {
	head := bytes.Index(answer, headEnd)
	if head < 0 {
		return false, nil
	}
	_, length, found := bytes.Cut(answer[:head+2], lengthName)
	digits, _, _ := bytes.Cut(length, headEnd[:2])
	body, err := strconv.Atoi(string(digits))
	if !found || err != nil || !bytes.HasPrefix(answer, okLine) {
		return false, fmt.Errorf("answered %.300q", answer)
	}
	return len(answer) >= head+len(headEnd)+body, nil
}

// threadSeconds is what the thread has used of the processors, by the system's finest clock.
func threadSeconds() (float64, error) {
	var used unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &used)
	return float64(used.Nano()) / 1e9, err
}
