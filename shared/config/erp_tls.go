package config

import (
	"crypto/tls"
	"sync"
	"time"

	"github.com/erpconnector/erpconnector/shared/kafka"
)

// Config is how https connections to the ERP are made. The client certificate is read again when its file changes, and presented in
// the next connection; one that cannot be used leaves the one before. The roots are read once.
func (t ERPTLS) Config() (*tls.Config, error) {
	c, err := kafka.TLS(t.CA, t.Cert, t.Key)
	if err != nil || t.Cert == "" {
		return c, err
	}
	live := &liveCertificate{files: t, now: time.Now, pair: c.Certificates[0], stamps: t.stamps()}
	c.Certificates = nil
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return live.current(), nil }
	return c, nil
}

func (t ERPTLS) stamps() [2]fileStamp { return [2]fileStamp{stampOf(t.Cert), stampOf(t.Key)} }

// liveCertificate is a certificate whose files may change while the process runs.
type liveCertificate struct {
	files ERPTLS
	now   func() time.Time

	mu     sync.Mutex
	pair   tls.Certificate
	stamps [2]fileStamp
	looked time.Time
}

func (l *liveCertificate) current() *tls.Certificate {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.now(); now.Sub(l.looked) >= lookInterval {
		l.looked = now
		l.look()
	}
	pair := l.pair
	return &pair
}

// look reads the files if they have changed. A certificate and a key that do not belong together yet, as one of them is still to be
// written, are read again at the next look.
func (l *liveCertificate) look() {
	stamps := l.files.stamps()
	if stamps == l.stamps {
		return
	}
	if pair, err := tls.LoadX509KeyPair(l.files.Cert, l.files.Key); err == nil {
		l.pair, l.stamps = pair, stamps
	}
}
