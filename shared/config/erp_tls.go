package config

import (
	"bytes"
	"crypto/tls"
	"time"

	"github.com/erpconnector/erpconnector/shared/kafka"
)

// Config is how https connections to the ERP are made. report hears when the client certificate is read again.
func (t ERPTLS) Config(report func(variable string, err error)) (*tls.Config, error) {
	return clientTLS("ERP_TLS_CERT_FILE", t.CA, t.Cert, t.Key, report)
}

// clientTLS is how connections are made to servers that are checked by the roots in a file. The client certificate is read again when one
// of its files changes, and presented in the next connection; one that cannot be used leaves the one before. report hears of both, under
// the variable. The roots are read once.
func clientTLS(variable, ca, cert, key string, report func(variable string, err error)) (*tls.Config, error) {
	c, err := kafka.TLS(ca, cert, key)
	if err != nil || cert == "" {
		return c, err
	}
	live := &liveFile[tls.Certificate]{
		files: []string{cert, key}, value: c.Certificates[0], now: time.Now,
		read:   func() (tls.Certificate, error) { return tls.LoadX509KeyPair(cert, key) },
		same:   func(a, b tls.Certificate) bool { return bytes.Equal(a.Certificate[0], b.Certificate[0]) },
		report: func(err error) { report(variable, err) },
	}
	c.Certificates = nil
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair := live.current()
		return &pair, nil
	}
	return c, nil
}
