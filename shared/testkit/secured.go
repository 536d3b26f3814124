package testkit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Who may log in to a secured broker: one who may do all there, and, by SCRAM at Apache Kafka's, one who may do only what ACLs
// allow. Both have the same password.
const (
	SecuredUser     = "admin"
	LimitedUser     = "limited"
	SecuredPassword = "correct horse"
)

// Certificates are PEM files: of a root, and of a server on 127.0.0.1 and a client that it signed.
type Certificates struct {
	CA                string
	Server, ServerKey string
	Client, ClientKey string
}

// NewCertificates makes them, for a day.
func NewCertificates(t testing.TB) Certificates {
	t.Helper()
	dir := t.TempDir()
	template := func(name string) *x509.Certificate {
		serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
		require.NoError(t, err)
		return &x509.Certificate{
			SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}
	}
	root := template("a test's root")
	root.IsCA, root.BasicConstraintsValid, root.KeyUsage = true, true, x509.KeyUsageCertSign
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return file
	}
	sign := func(name string, c *x509.Certificate, key *ecdsa.PrivateKey) string {
		der, err := x509.CreateCertificate(rand.Reader, c, root, &key.PublicKey, rootKey)
		require.NoError(t, err)
		return write(name, "CERTIFICATE", der)
	}
	issue := func(name string) (cert, keyFile string) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		c := template(name)
		c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		require.NoError(t, err)
		return sign(name+".pem", c, key), write(name+".key", "PRIVATE KEY", der)
	}
	out := Certificates{CA: sign("ca.pem", root, rootKey)}
	out.Server, out.ServerKey = issue("server")
	out.Client, out.ClientKey = issue("client")
	return out
}

// SecuredApache is an Apache Kafka with listeners of which one asks for a login over TLS, and one for a client's certificate.
type SecuredApache struct {
	SASL, MutualTLS []string // addresses
	Plain           []string // that of a listener without any of it, at which everything is allowed
}

// NewSecuredApache starts one that ends with the test, which is not run where there is no java and mvn.
func NewSecuredApache(t *testing.T, c Certificates) SecuredApache {
	t.Helper()
	if !HasApache() {
		NotRun(t, "brokers that ask for a login", errNoApache.Error())
	}
	ports, err := freePorts(2)
	require.NoError(t, err)
	read := func(file string) []byte {
		content, err := os.ReadFile(file) //nolint:gosec // ours
		require.NoError(t, err)
		return content
	}
	keystore := filepath.Join(t.TempDir(), "keystore.pem")
	require.NoError(t, os.WriteFile(keystore, append(read(c.Server), read(c.ServerKey)...), 0o600))
	const login = "org.apache.kafka.common.security."
	extras := apacheExtras{
		listeners: fmt.Sprintf(",SASL_SSL://127.0.0.1:%d,SSL://127.0.0.1:%d", ports[0], ports[1]),
		config: fmt.Sprintf(`listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config=%[1]splain.PlainLoginModule required user_%[2]s="%[3]s";
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=%[1]sscram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=%[1]sscram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location=%[4]s
ssl.truststore.type=PEM
ssl.truststore.location=%[5]s
listener.name.ssl.ssl.client.auth=required
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:%[2]s;User:CN=client
`, login, SecuredUser, SecuredPassword, keystore, c.CA),
	}
	for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
		for _, user := range []string{SecuredUser, LimitedUser} {
			extras.format = append(extras.format, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, user, SecuredPassword))
		}
	}
	plain := ownApache(t, ApacheVersion, extras)
	address := func(port int) []string { return []string{fmt.Sprintf("127.0.0.1:%d", port)} }
	return SecuredApache{SASL: address(ports[0]), MutualTLS: address(ports[1]), Plain: plain.Addrs()}
}
