package cli

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReplayShowsHowFarItIs(t *testing.T) {
	require.Equal(t, "[===============               ]  50 %  5 of 10 offsets", barText(5, 10))
	require.Equal(t, "[==============================] 100 %  0 of 0 offsets", barText(0, 0))
}
