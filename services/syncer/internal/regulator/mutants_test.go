//go:build mutants

package regulator

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each mutant is the product with one bug, which the simulation must find. The compiler reads the changed file in place of the
// product's, so the text that is changed must stand in it once.
func TestTheSimulationFindsPlantedBugs(t *testing.T) {
	for name, m := range map[string]struct{ file, from, to, found string }{
		"the_breaker_forgets_at_a_restart": {
			"follow.go", "		r.made, r.slots = made, nil\n",
			"		r.made, r.slots = made, nil\n		r.judge(func(s pace.State) pace.State { s.Breaker = domain.Breaker{}; return s })\n",
			"a breaker was forgotten",
		},
		"a_probe_counts_as_an_attempt": {
			"probe.go", "	policy, m := r.Settings.Current().BreakerPolicy(), r.moment()\n	return func",
			"	policy, m := r.Settings.Current().BreakerPolicy(), r.moment()\n	policy.HasHealth = false\n	return func",
			"an order is the probe",
		},
		"the_pace_is_that_of_each_process": {
			"grant.go", "	return domain.Shares(limit, members, turn, now)[r.ID]\n", "	return limit\n", "calls at once",
		},
		"a_second_process_ignores_retry_after": {
			"follow.go", "		r.know(v.State)\n", "		v.Hold = r.base.Hold\n		r.know(v.State)\n", "before the Retry-After",
		},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(m.file)
			require.NoError(t, err)
			require.Equal(t, 1, strings.Count(string(text), m.from), "the product has changed: change the mutant")
			dir := t.TempDir()
			changed, overlay := filepath.Join(dir, m.file), filepath.Join(dir, "overlay.json")
			require.NoError(t, os.WriteFile(changed, []byte(strings.Replace(string(text), m.from, m.to, 1)), 0o600))
			original, err := filepath.Abs(m.file)
			require.NoError(t, err)
			list, err := json.Marshal(map[string]any{"Replace": map[string]string{original: changed}})
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(overlay, list, 0o600))
			out, err := exec.Command("go", "test", "-count=1", "-overlay", overlay, "-run", "TestSimulation", ".").CombinedOutput()
			require.Error(t, err, "the simulation passes with the bug")
			require.Contains(t, string(out), m.found)
		})
	}
}
