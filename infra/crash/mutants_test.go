//go:build mutants

package crash

import (
	"cmp"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/infra/crash/mutants"
	"github.com/erpconnector/erpconnector/infra/crash/nemesis"
)

// Each mutant gets at most so many runs of so many kills, until the checker has found it.
const (
	mutantRuns  = 4
	mutantKills = 6
)

// TestMutants runs each mutant of the product. The checker must find it, and under a promise that it breaks. It runs on the
// embedded broker unless a flag or the mutant says otherwise, as that one starts fast.
//
//	go test -tags mutants ./infra/crash -run TestMutants -v -timeout 60m
func TestMutants(t *testing.T) {
	for _, mutant := range mutants.All {
		t.Run(mutant.Name, func(t *testing.T) {
			t.Parallel()
			root, err := filepath.Abs(filepath.Join("..", ".."))
			require.NoError(t, err)
			binary, err := mutant.Build(t.Context(), root, t.TempDir())
			require.NoError(t, err)
			profile, err := nemesis.ParseProfile(mutant.Profile)
			require.NoError(t, err)
			seed := *seedFlag
			if seed == 0 {
				seed = uint64(time.Now().UnixNano())
			}
			broker := cmp.Or(mutant.Broker, *brokerFlag, embedded)
			for i := range mutantRuns {
				got := run(t, options{
					seed: seed + uint64(i), kills: cmp.Or(mutant.Kills, mutantKills), broker: broker, rate: *rateFlag, binary: binary, profile: profile, quiet: time.Minute,
					forgets: mutant.Forgets,
				})
				for _, v := range got.report.Violations {
					if slices.Contains(mutant.Promises, v.Promise) {
						t.Logf("found in run %d: promise %d, %s: %s", i+1, v.Promise, v.Rule, v.Text)
						return
					}
				}
				t.Logf("run %d did not show it:\n%s", i+1, got.report)
			}
			t.Errorf("the checker did not find the mutant in %d runs; first seed %d", mutantRuns, seed)
		})
	}
}
