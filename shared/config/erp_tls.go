package config

import (
	"bytes"
	"crypto/tls"
	"time"

	"github.com/erpconnector/erpconnector/shared/kafka"
)

// Config is how https connections to the ERP are made. The client certificate is read again when one of its files changes, and presented
// in the next connection; one that cannot be used leaves the one before. report hears of both. The roots are read once.
func (t ERPTLS) Config(report func(variable string, err error)) (*tls.Config, error) {
	c, err := kafka.TLS(t.CA, t.Cert, t.Key)
	if err != nil || t.Cert == "" {
		return c, err
	}
	live := &liveFile[tls.Certificate]{
		files: []string{t.Cert, t.Key}, value: c.Certificates[0], now: time.Now,
		read:   func() (tls.Certificate, error) { return tls.LoadX509KeyPair(t.Cert, t.Key) },
		same:   func(a, b tls.Certificate) bool { return bytes.Equal(a.Certificate[0], b.Certificate[0]) },
		report: func(err error) { report("ERP_TLS_CERT_FILE", err) },
	}
	c.Certificates = nil
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair := live.current()
		return &pair, nil
	}
	return c, nil
}
