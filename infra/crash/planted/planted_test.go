package planted_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/infra/crash/planted"
)

// Each bug still fits the product. That it compiles and that the checker sees it is TestPlantedBugs.
func TestEachBugFitsTheProduct(t *testing.T) {
	for _, bug := range planted.Bugs {
		_, err := bug.Overlay("../../..", t.TempDir())
		require.NoError(t, err)
	}
}
