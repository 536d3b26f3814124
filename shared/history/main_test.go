package history

import (
	"testing"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }
