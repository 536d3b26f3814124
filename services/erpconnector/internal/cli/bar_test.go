package cli

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestReplayShowsHowFarItIs(t *testing.T) {
	t.Parallel()
	full, none := strings.Repeat("=", barWidth), strings.Repeat(" ", barWidth)
	for _, c := range []struct {
		read, all int64
		want      string
	}{
		{5, 10, "[===============               ]  50 %  5 of 10 offsets"},
		{0, 0, "[" + full + "] 100 %  0 of 0 offsets"},
		{0, 7, "[" + none + "]   0 %  0 of 7 offsets"},
		{7, 7, "[" + full + "] 100 %  7 of 7 offsets"},
		{999, 1000, "[" + full[:29] + " ]  99 %  999 of 1000 offsets"},
		{9, 7, "[" + full + "] 100 %  7 of 7 offsets"}, // panicked: the space behind it would be less than none
		{1 << 50, 1 << 51, "[" + full[:15] + none[:15] + "]  50 %  1125899906842624 of 2251799813685248 offsets"},
	} {
		require.Equal(t, c.want, barText(c.read, c.all, "offsets"))
	}
	require.NotPanics(t, func() { barText(0, math.MaxInt64, "offsets") })
}

// A terminal is written to ten times a second at most, and always at the end.
func TestTheBarIsDrawnNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		b := &bar{out: &out}
		for read := range int64(100) { // by the clock of the bubble: nobody waits
			b.draw(read, 100)
			time.Sleep(10 * time.Millisecond)
		}
		require.Equal(t, 10, strings.Count(out.String(), "\r\x1b[K["))
		b.draw(99, 100)
		b.draw(100, 100)
		require.True(t, strings.HasSuffix(out.String(), barText(100, 100, "offsets")))
		b.clear()
		require.True(t, strings.HasSuffix(out.String(), "offsets\r\x1b[K"), "what comes next has a line of its own")
	})
	var out bytes.Buffer
	for _, b := range []*bar{newBar(&out, true), newBar(&out, false)} { // no terminal
		b.draw(1, 2)
		b.clear()
	}
	require.Empty(t, out.String())
}
