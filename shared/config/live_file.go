package config

import (
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// lookInterval is how often files are looked at, at most.
const lookInterval = time.Second

// liveFile is what files hold that may change while the process runs, like a secret. Without files it stays as it is.
type liveFile[T any] struct {
	files  []string
	read   func() (T, error)
	check  func(T) error // of what was read later; nil: all can be used
	same   func(a, b T) bool
	report func(err error) // of each content that is read later, and differs or cannot be used
	now    func() time.Time

	mu     sync.Mutex
	value  T
	stamps []fileStamp // of what was read last; none of the value from the start, so that no change is missed
	looked time.Time
}

// fileStamp tells one content of a file from another, without reading it.
type fileStamp struct {
	modified time.Time
	size     int64
}

// newFileSecret returns a secret that was read from the file a moment ago.
func newFileSecret(file string, initial Secret, use SecretUse, report func(err error)) *liveFile[Secret] {
	l := &liveFile[Secret]{
		value: initial, report: report, now: time.Now,
		read: func() (Secret, error) { return ReadSecret(file, use) },
		same: func(a, b Secret) bool { return a == b },
	}
	if file != "" {
		l.files = []string{file}
	}
	return l
}

// current returns what is in force.
func (l *liveFile[T]) current() T {
	if len(l.files) == 0 {
		return l.value
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.now(); now.Sub(l.looked) >= lookInterval {
		l.looked = now
		l.look()
	}
	return l.value
}

// look reads the files if one has changed since they were last read. What cannot be used is reported once, and leaves what was there.
func (l *liveFile[T]) look() {
	stamps := make([]fileStamp, len(l.files))
	for i, file := range l.files {
		stamps[i] = stampOf(file)
	}
	if slices.Equal(stamps, l.stamps) {
		return
	}
	l.stamps = stamps
	value, err := l.read()
	if err == nil && l.check != nil {
		err = l.check(value)
	}
	switch {
	case err != nil:
		l.report(err)
	case !l.same(value, l.value):
		l.value = value
		l.report(nil)
	}
}

// stampOf is the zero stamp where there is no such file.
func stampOf(file string) fileStamp {
	info, err := os.Stat(file)
	if err != nil {
		return fileStamp{}
	}
	return fileStamp{modified: info.ModTime(), size: info.Size()}
}

// reports passes on what becomes of files that are read again. The environment is read before there is a log to tell.
type reports struct {
	to atomic.Pointer[func(variable string, err error)]
}

func (r *reports) report(variable string, err error) {
	if to := r.to.Load(); to != nil {
		(*to)(variable, err)
	}
}
