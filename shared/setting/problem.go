package setting

import "strings"

// Problem is one value that cannot be taken.
type Problem struct {
	Name     string // the setting's, as the API, the CLI and the table have it
	Variable string // the environment's name for it
	Said     string // what follows either name: the value, and what is taken
	with     string // the other setting that it does not go together with
}

// Error names the setting, its value and what is taken.
func (p Problem) Error() string { return p.Name + " " + p.Said }

// Problems are all that is wrong with a change, or with a set of values, at once.
type Problems []Problem

// Error is one line for each.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// err is nil when there are none.
func (ps Problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}
