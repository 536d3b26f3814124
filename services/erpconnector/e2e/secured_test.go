package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// The whole product, and each command that talks to Kafka, with brokers that ask for a login over TLS and allow no more than
// docs/deploy.md asks for.
func TestBrokersThatAskForALogin(t *testing.T) {
	const prefix = "shop."
	c := testkit.NewCertificates(t)
	apache := testkit.NewSecuredApache(t, c)
	client, err := kgo.NewClient(kgo.SeedBrokers(apache.Plain...))
	require.NoError(t, err)
	defer client.Close()
	allow := func(b *kadm.ACLBuilder, operations ...kadm.ACLOperation) {
		t.Helper()
		created, err := kadm.NewClient(client).CreateACLs(t.Context(),
			b.Allow("User:"+testkit.LimitedUser).AllowHosts().ResourcePatternType(kadm.ACLPatternPrefixed).Operations(operations...))
		require.NoError(t, err)
		for _, one := range created {
			require.NoError(t, one.Err)
		}
	}
	allow(kadm.NewACLs().Topics(prefix), kadm.OpCreate, kadm.OpDescribeConfigs, kadm.OpRead, kadm.OpWrite, kadm.OpDelete)
	allow(kadm.NewACLs().Groups(prefix), kadm.OpRead)
	allow(kadm.NewACLs().TransactionalIDs(prefix), kadm.OpWrite)

	env := map[string]string{
		"KAFKA_BROKERS": apache.SASL[0], "KAFKA_TOPIC_PREFIX": prefix, "KAFKA_PARTITIONS": "4",
		"KAFKA_TLS": "true", "KAFKA_TLS_CA_FILE": c.CA,
		"KAFKA_SASL_MECHANISM": "SCRAM-SHA-512", "KAFKA_SASL_USERNAME": testkit.LimitedUser, "KAFKA_SASL_PASSWORD": testkit.SecuredPassword,
	}
	asked, err := config.FromEnv(func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	require.NoError(t, err)
	p := start(t, configured(t, asked.Kafka()))
	p.env = env
	p.parks("parked")
	p.succeeds("sent")
	for _, args := range [][]string{
		{"topics", "ensure"}, {"topics", "check"}, {"verify"}, {"rebuild"}, {"audit"}, {"replay", "--order", "sent"}, {"replay", "--from", "2024-01-15T10:00:00Z"},
	} {
		out, err := p.command(args...)
		require.NoError(t, err, "%v: %s", args, out)
	}
	p.env["KAFKA_SASL_PASSWORD"] = "wrong"
	_, err = p.command("topics", "check")
	require.ErrorContains(t, err, "SASL_AUTHENTICATION_FAILED")
}
