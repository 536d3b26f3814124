package outbox

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhichGapsAreDead(t *testing.T) {
	t.Parallel()
	type look struct {
		lastID  int64
		holders []string
		settled int64
	}
	for name, looks := range map[string][]look{
		"nobody writes":                           {{lastID: 9, settled: 9}},
		"who writes at the first look owns any":   {{9, []string{"3/1"}, 0}, {12, []string{"3/1"}, 0}, {12, nil, 12}},
		"who comes later owns what came later":    {{9, nil, 9}, {12, []string{"3/1"}, 9}, {20, []string{"3/1", "4/1"}, 9}, {30, []string{"4/1"}, 12}, {31, nil, 31}},
		"the oldest decides":                      {{9, []string{"3/1"}, 0}, {12, []string{"3/1", "4/1"}, 0}, {20, []string{"4/1", "5/1"}, 9}},
		"what is dead stays dead":                 {{9, nil, 9}, {12, []string{"3/1"}, 9}, {12, nil, 12}, {15, []string{"3/2"}, 12}},
		"one that is prepared keeps what it owns": {{9, []string{"3/1"}, 0}, {12, []string{"-1/70"}, 0}, {20, nil, 20}},
		"it may be any of the prepared ones":      {{9, []string{"3/1"}, 0}, {12, []string{"3/1", "-1/70"}, 0}, {20, []string{"-1/70"}, 0}, {20, nil, 20}},
		"the end of a prepared one renames none":  {{9, nil, 9}, {12, []string{"-1/70"}, 9}, {20, []string{"-1/70", "-1/71"}, 9}, {30, []string{"-1/71"}, 12}},
	} {
		var w writers
		for i, l := range looks {
			w.saw(l.lastID, l.holders)
			require.Equal(t, l.settled, w.settled, "%s, look %d", name, i+1)
		}
	}
}
