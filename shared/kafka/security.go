package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Security is how connections to the brokers are encrypted and authenticated. The zero value is plain TCP without
// authentication.
type Security struct {
	TLS  *tls.Config
	SASL sasl.Mechanism
}

// The SASL mechanisms (RFC 4616, RFC 5802, RFC 7677), by the brokers' names for them.
const (
	Plain       = "PLAIN"
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
)

// SASL returns how a client authenticates. The password is asked for at each login, so that one that was changed counts for the next
// connection.
func SASL(mechanism, username string, password func() string) (sasl.Mechanism, error) {
	if username == "" || password() == "" {
		return nil, errors.New("a username and a password are needed")
	}
	login := func(context.Context) (scram.Auth, error) { return scram.Auth{User: username, Pass: password()}, nil }
	switch mechanism {
	case Plain:
		return plain.Plain(func(context.Context) (plain.Auth, error) { return plain.Auth{User: username, Pass: password()}, nil }), nil
	case ScramSHA256:
		return scram.Sha256(login), nil
	case ScramSHA512:
		return scram.Sha512(login), nil
	default:
		return nil, fmt.Errorf("mechanism %q is not known; there are %s, %s and %s", mechanism, Plain, ScramSHA256, ScramSHA512)
	}
}

// TLS returns a configuration that encrypts connections and checks the brokers' certificates: by the roots in caFile,
// or by those of the system when it is empty. With a certificate and its key the client authenticates itself (mTLS).
// All files are PEM and are read once.
func TLS(caFile, certFile, keyFile string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pem, err := os.ReadFile(caFile) //nolint:gosec // the operator names it
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", caFile)
		}
	}
	if certFile == "" && keyFile == "" {
		return c, nil
	}
	if certFile == "" || keyFile == "" {
		return nil, errors.New("a certificate and its key go together: one of the files is not named")
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", certFile, keyFile, err)
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}
