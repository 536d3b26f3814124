//go:build speed

package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// TestSpeedOfLookups prints what 10,000 orders cost at an ERP that forgets keys and loses 30 % of its answers: with look-ups no
// order is doubled, without them many are.
func TestSpeedOfLookups(t *testing.T) {
	const orders = 10_000
	testkit.OnBrokers(t, func(t *testing.T, brokers kafka.Config) {
		for _, c := range []struct {
			name string
			path domain.LookupPath
		}{{"asked", byKey}, {"not_asked", ""}} {
			t.Run(c.name, func(t *testing.T) {
				brokers := brokers
				brokers.Prefix += c.name + "."
				began := time.Now()
				stats, succeeded := lossy(t, brokers, c.path, orders)
				t.Logf("%s: %d orders, %d successes with a reference, in %s: %+v", t.Name(), orders, succeeded, time.Since(began).Round(time.Second), stats)
				if c.path != "" {
					require.Zero(t, stats.Doubles)
				}
			})
		}
	})
}
