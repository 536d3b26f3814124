package nemesis

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// ParseProfile reads "syncer=3,broker=1,term=0,stop=0.1,together=0": the weights of what is killed, and the shares. A target
// that is not named is not killed. A share that is not named is that of Everything. Empty is Everything.
func ParseProfile(text string) (Profile, error) {
	p := Everything()
	if text == "" {
		return p, nil
	}
	known := p.Weights
	p.Weights = map[string]int{}
	shares := map[string]*float64{"term": &p.Term, "stop": &p.Stop, "together": &p.Together, "starve": &p.Starve}
	for field := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(field, "=")
		n, err := strconv.ParseFloat(value, 64)
		_, target := known[name]
		switch share := shares[name]; {
		case err != nil || n < 0:
			return p, fmt.Errorf("%q: give NAME=NUMBER", field)
		case share != nil:
			*share = n
		case !target:
			return p, fmt.Errorf("%q is not known: give term, stop, starve, together and %s", field, strings.Join(sortedKeys(known), ", "))
		default:
			p.Weights[name] = int(n)
		}
	}
	return p, nil
}

// FailsOver reports whether Postgres fails over. Then it needs a standby.
func (p Profile) FailsOver() bool { return p.Weights[Failover] > 0 }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
