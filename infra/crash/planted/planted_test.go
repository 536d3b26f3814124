package planted_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/infra/crash/planted"
)

// Each bug still fits the product and compiles. That the checker sees it is TestPlantedBugs.
func TestEachBugFitsTheProduct(t *testing.T) {
	for _, bug := range planted.Bugs {
		t.Run(bug.Name, func(t *testing.T) {
			_, err := bug.Build(t.Context(), "../../..", t.TempDir())
			require.NoError(t, err)
		})
	}
}
