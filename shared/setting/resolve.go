package setting

import (
	"encoding/json"
	"time"
)

// Row is what the table keeps of one setting that somebody changed.
type Row struct {
	Name    string
	Value   json.RawMessage
	Version int64 // of the change
	By      string
	At      time.Time
}

// Resolve is what is in force: the environment's values, and over them the rows'. A row that cannot be decoded, is out of
// range, or does not go together with the others is not used: the environment's value stays, and a problem says so. So
// the result is always valid when the environment is. Rows of unknown names are passed over; see Unknown.
func Resolve(environment Settings, rows []Row) (Settings, Problems) {
	s, used := environment, map[string]bool{}
	var unused Problems
	for _, row := range rows {
		f, ok := FieldOf(row.Name)
		if !ok {
			continue
		}
		if err := f.Decode(&s, row.Value); err != nil {
			unused = append(unused, f.problem(f.showJSON(row.Value)))
			continue
		}
		used[row.Name] = true
	}
	for {
		p, name := firstAtOdds(s, used)
		if name == "" {
			return s, unused
		}
		f, _ := FieldOf(name)
		if name != p.Name {
			p = Problem{Name: name, Variable: f.Variable, Code: p.Code, Said: "is " + f.Text(s) + ", with which " + p.Error()}
		}
		f.copy(&s, environment)
		delete(used, name)
		unused = append(unused, p)
	}
}

// firstAtOdds is the first problem that a row in use has to do with, and that row's name.
func firstAtOdds(s Settings, used map[string]bool) (Problem, string) {
	for _, p := range s.problems() {
		for _, name := range []string{p.Name, p.with} {
			if used[name] {
				return p, name
			}
		}
	}
	return Problem{}, ""
}

// Unknown are the rows that this program has no setting for: a newer one wrote them.
func Unknown(rows []Row) (names []string) {
	for _, row := range rows {
		if _, ok := FieldOf(row.Name); !ok {
			names = append(names, row.Name)
		}
	}
	return names
}
