//go:build speed && !linux

package bench

import (
	"testing"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

// statusLoad needs the system's own calls: what else there is would take as much of the processors as the answers.
func (m *many) statusLoad(t *testing.T) {
	t.Helper()
	testkit.NotRun(t, "the load of statuses", "this system is not Linux")
}
