package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Figure is one figure of the product, beside the same figure of what it is compared with.
type Figure struct {
	Case  string  `json:"case"`           // what is done: single events, 64 connections
	On    string  `json:"on"`             // the broker, or empty when none takes part
	What  string  `json:"what"`           // what is counted, with its unit: orders/s
	Lower bool    `json:"lower"`          // less is better
	Ours  float64 `json:"ours"`           // the product's
	Base  float64 `json:"base,omitempty"` // of Beside; 0: there is none
	// Beside is what was measured beside the product in the same run: a naive connector.
	Beside string `json:"beside,omitempty"`

	Date string `json:"date,omitempty"` // of a figure that is older than its report, as is Runs
	Runs int    `json:"runs,omitempty"`
}

// Ratio is the product's figure divided by the one beside it, or 0 when there is none.
func (f Figure) Ratio() float64 {
	if f.Base == 0 {
		return 0
	}
	return f.Ours / f.Base
}

// name tells figures apart.
func (f Figure) name() string {
	if f.On == "" {
		return f.Case + ", " + f.What
	}
	return f.Case + ", " + f.On + ", " + f.What
}

// Medians takes the same figures of several runs together. The median run of a figure with a ratio is the one with the median
// ratio, so that what is divided was measured together. Of an even number of runs it is the worse of the two in the middle.
func Medians(runs [][]Figure) []Figure {
	var names []string
	byName := map[string][]Figure{}
	for _, run := range runs {
		for _, f := range run {
			if len(byName[f.name()]) == 0 {
				names = append(names, f.name())
			}
			byName[f.name()] = append(byName[f.name()], f)
		}
	}
	medians := make([]Figure, 0, len(names))
	for _, name := range names {
		figures := byName[name]
		slices.SortFunc(figures, func(a, b Figure) int {
			switch {
			case a.worth() < b.worth():
				return -1
			case a.worth() > b.worth():
				return 1
			default:
				return 0
			}
		})
		medians = append(medians, figures[(len(figures)-1)/2])
	}
	return medians
}

// worth grows as a figure gets better.
func (f Figure) worth() float64 {
	worth := f.Ours
	if f.Base != 0 {
		worth = f.Ratio()
	}
	if f.Lower {
		worth = -worth
	}
	return worth
}

// Tolerance is by how much a ratio may be worse than before: runs on one machine differ by that.
const Tolerance = 0.15

// Comparison is what came of ratios since they were measured before. Figures without a ratio are no part of it: absolute figures differ
// between machines.
type Comparison struct {
	Compared int      // ratios
	Worse    []string // by more than Tolerance, each as a line to read
	Left     []string // were measured before, and not now
	New      []string // were not measured before
}

// Compare compares ratios with those before.
func Compare(before, now []Figure) (c Comparison) {
	known, measured := ratios(before), ratios(now)
	for _, f := range before {
		if known[f.name()] != 0 && measured[f.name()] == 0 {
			c.Left = append(c.Left, f.name())
		}
	}
	for _, f := range now {
		was, is := known[f.name()], f.Ratio()
		switch {
		case is == 0:
		case was == 0:
			c.New = append(c.New, f.name())
		default:
			c.Compared++
			if f.change(was) < -Tolerance {
				c.Worse = append(c.Worse, fmt.Sprintf("%s: %.2f of %s, and it was %.2f", f.name(), is, f.Beside, was))
			}
		}
	}
	return c
}

// Text says what was compared, and what was not.
func (c Comparison) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d ratios of the page compared, %d of them more than %.0f %% worse\n", c.Compared, c.Compared+len(c.Left), len(c.Worse), 100*Tolerance)
	for _, part := range []struct {
		is    string
		names []string
	}{{"worse", c.Worse}, {"not measured", c.Left}, {"not on the page", c.New}} {
		for _, name := range part.names {
			fmt.Fprintf(&b, "  %s: %s\n", part.is, name)
		}
	}
	return b.String()
}

func ratios(figures []Figure) map[string]float64 {
	all := map[string]float64{}
	for _, f := range figures {
		all[f.name()] = f.Ratio()
	}
	return all
}

// change is by which share the ratio is better than it was.
func (f Figure) change(was float64) float64 {
	if f.Lower {
		return was/f.Ratio() - 1
	}
	return f.Ratio()/was - 1
}

// quantile is the value below which the share q of the sorted values lies.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// round keeps three digits, as more mean nothing.
func round(value float64) float64 {
	if value == 0 {
		return 0
	}
	scale := math.Pow(10, 2-math.Floor(math.Log10(math.Abs(value))))
	return math.Round(value*scale) / scale
}
