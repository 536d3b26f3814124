package config

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"
)

// ServerTLS are the PEM files of https; without a certificate http is served.
type ServerTLS struct {
	Cert, Key, ClientCA string // HTTP_TLS_CERT_FILE, HTTP_TLS_KEY_FILE, HTTP_TLS_CLIENT_CA_FILE
}

// Enabled reports whether https is served.
func (t ServerTLS) Enabled() bool { return t.Cert != "" }

// Config is how https is served, nil for http. The files are read again when one of them changes, and count for connections from then on;
// files that cannot be used leave those before. report hears of both.
//
// A client's certificate is checked when one is given, and not asked for in every case: the probes of a platform have none. So a handler
// has to look for it.
func (t ServerTLS) Config(report func(variable string, err error)) (*tls.Config, error) {
	if t == (ServerTLS{}) {
		return nil, nil //nolint:nilnil // http
	}
	live, err := t.live(report)
	if err != nil {
		return nil, err
	}
	return live.config(), nil
}

// served is what the files say at one moment.
type served struct {
	config *tls.Config
	digest [sha256.Size]byte // of the files' content
}

// servedFiles are the files of https.
type servedFiles struct{ *liveFile[served] }

func (f servedFiles) config() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return f.current().config, nil },
	}
}

func (t ServerTLS) live(report func(variable string, err error)) (servedFiles, error) {
	first, err := t.read()
	files := []string{t.Cert, t.Key}
	if t.ClientCA != "" {
		files = append(files, t.ClientCA)
	}
	return servedFiles{&liveFile[served]{
		files: files, value: first, now: time.Now, read: t.read,
		same:   func(a, b served) bool { return a.digest == b.digest },
		report: func(err error) { report("HTTP_TLS_CERT_FILE", err) },
	}}, err
}

// read reads all files, so that they are from one moment.
func (t ServerTLS) read() (served, error) {
	switch {
	case t.Cert == "" && t.Key == "":
		return served{}, errNoServerCert
	case t.Cert == "" || t.Key == "":
		return served{}, errNoServerKey
	}
	cert, err := os.ReadFile(t.Cert)
	if err != nil {
		return served{}, err
	}
	key, err := os.ReadFile(t.Key)
	if err != nil {
		return served{}, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return served{}, fmt.Errorf("certificate %s with key %s: %w", t.Cert, t.Key, err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}
	roots, err := t.clientRoots(c)
	if err != nil {
		return served{}, err
	}
	hash := sha256.New()
	for _, content := range [][]byte{cert, key, roots} {
		_, _ = fmt.Fprintf(hash, "%d\n%s", len(content), content)
	}
	return served{c, [sha256.Size]byte(hash.Sum(nil))}, nil
}

// clientRoots has clients checked by the roots in ClientCA. Sessions are not resumed then: one would outlive a root that was removed.
func (t ServerTLS) clientRoots(c *tls.Config) ([]byte, error) {
	if t.ClientCA == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(t.ClientCA)
	if err != nil {
		return nil, err
	}
	c.ClientCAs = x509.NewCertPool()
	if !c.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", t.ClientCA)
	}
	c.ClientAuth, c.SessionTicketsDisabled = tls.VerifyClientCertIfGiven, true
	return pem, nil
}
