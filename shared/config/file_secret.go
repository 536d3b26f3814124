package config

import (
	"os"
	"sync"
	"time"
)

// lookInterval is how often the file of a secret is looked at, at most.
const lookInterval = time.Second

// fileSecret is a secret whose file may change while the process runs. Without a file it stays.
type fileSecret struct {
	file   string
	use    SecretUse
	report func(err error)
	now    func() time.Time

	mu     sync.Mutex
	secret Secret
	stamp  fileStamp
	looked time.Time
}

// fileStamp tells one content of a file from another, without reading it.
type fileStamp struct {
	modified time.Time
	size     int64
}

// newFileSecret returns a secret that was read from the file a moment ago. report hears of each content that is read later.
func newFileSecret(file string, initial Secret, use SecretUse, report func(err error)) *fileSecret {
	return &fileSecret{file: file, use: use, report: report, now: time.Now, secret: initial}
}

// current returns the secret in force.
func (f *fileSecret) current() Secret {
	if f.file == "" {
		return f.secret
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := f.now(); now.Sub(f.looked) >= lookInterval {
		f.looked = now
		f.look()
	}
	return f.secret
}

// look reads the file if it has changed since it was last read. A file that cannot be used is reported once for each of its contents.
func (f *fileSecret) look() {
	stamp := stampOf(f.file)
	if stamp == f.stamp {
		return
	}
	f.stamp = stamp
	secret, err := ReadSecret(f.file, f.use)
	switch {
	case err != nil:
		f.report(err)
	case secret != f.secret:
		f.secret = secret
		f.report(nil)
	}
}

// stampOf is zero for a file that is not there.
func stampOf(file string) fileStamp {
	info, err := os.Stat(file)
	if err != nil {
		return fileStamp{}
	}
	return fileStamp{modified: info.ModTime(), size: info.Size()}
}
