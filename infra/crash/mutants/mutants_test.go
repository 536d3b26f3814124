package mutants_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/infra/crash/mutants"
)

// Each bug still fits the product. That it compiles and that the checker sees it is TestMutants.
func TestEachBugFitsTheProduct(t *testing.T) {
	for _, bug := range mutants.All {
		_, err := bug.Overlay("../../..", t.TempDir())
		require.NoError(t, err)
	}
}
