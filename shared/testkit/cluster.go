package testkit

import "testing"

// Cluster is an Apache Kafka of three brokers of a test's own. Topics have three replicas by default, of which two must take a
// record.
type Cluster []*Apache

// OwnCluster starts one that ends with the test, and skips the test where there is no java and mvn.
func OwnCluster(t testing.TB) Cluster {
	t.Helper()
	return ownCluster(t, ApacheVersion, 3, apacheExtras{config: "min.insync.replicas=2\n"})
}

// Addrs are the addresses of all brokers.
func (c Cluster) Addrs() []string { return c[0].Addrs() }
