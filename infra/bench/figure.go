package bench

import (
	"fmt"
	"math"
	"slices"
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
}

// Ratio is the product's figure divided by the one beside it, or 0 when there is none.
func (f Figure) Ratio() float64 {
	if f.Base == 0 {
		return 0
	}
	return f.Ours / f.Base
}

// name tells figures apart.
func (f Figure) name() string { return fmt.Sprintf("%s, %s, %s", f.Case, f.On, f.What) }

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

// Worse lists the figures whose ratio is worse than before by more than Tolerance, each as a line to read. A figure that there was none
// of before, or that has no ratio, is none of them: absolute figures differ between machines.
func Worse(before, now []Figure) (lines []string) {
	known := map[string]float64{}
	for _, f := range before {
		known[f.name()] = f.Ratio()
	}
	for _, f := range now {
		was, is := known[f.name()], f.Ratio()
		if was == 0 || is == 0 {
			continue
		}
		change := is/was - 1
		if f.Lower {
			change = was/is - 1
		}
		if change < -Tolerance {
			lines = append(lines, fmt.Sprintf("%s: %.2f of %s, and it was %.2f", f.name(), is, f.Beside, was))
		}
	}
	return lines
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
