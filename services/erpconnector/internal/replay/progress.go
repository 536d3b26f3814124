package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/erpconnector/erpconnector/shared/kafka/logreader"
)

// Progress says how far a range was read.
type Progress struct {
	Range  Range             `json:"range"`
	Target string            `json:"target,omitempty"` // the topic it goes to, if any
	Spans  []*logreader.Span `json:"spans"`
}

// Done returns how many offsets were read, of how many.
func (p *Progress) Done() (read, all int64) { return logreader.Done(p.Spans) }

// Load reads a progress that Save kept; without a file it is nil.
func Load(file string) (*Progress, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the operator names it
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // nothing was kept yet
	}
	if err != nil {
		return nil, fmt.Errorf("reading the positions: %w", err)
	}
	var p Progress
	err = json.Unmarshal(text, &p)
	if err == nil {
		err = p.check()
	}
	if err != nil {
		return nil, fmt.Errorf("%s holds no positions of a replay (%w): name another file, or delete it to begin anew", file, err)
	}
	return &p, nil
}

// check refuses positions that Save has not written: a file of something else may be JSON too, and one that was edited may name
// offsets that are never read, which would be waited for.
func (p *Progress) check() error {
	if err := p.Range.Validate(); err != nil {
		return err
	}
	for _, s := range p.Spans {
		switch {
		case s == nil:
			return errors.New("a span is null")
		case !slices.Contains(p.Range.Topics, s.Topic):
			return fmt.Errorf("a span is of %q, which the range does not name", s.Topic)
		case s.Partition < 0 || s.First < 0 || s.Next < s.First || s.Next > s.End:
			return fmt.Errorf("the span of %s partition %d goes from %d by %d to %d", s.Topic, s.Partition, s.First, s.Next, s.End)
		}
	}
	return nil
}

// Continues returns an error when the progress is of another range or target.
func (p *Progress) Continues(r Range, target string) error {
	if !p.Range.From.Equal(r.From) || !p.Range.To.Equal(r.To) || !slices.Equal(p.Range.Topics, r.Topics) || p.Target != target {
		return errors.New("it holds the positions of another replay (its range, topics and target stand in it): ask as then, or name another file")
	}
	return nil
}

// Save keeps the progress in the file, which is whole at any time, also after the machine has stopped.
func (p *Progress) Save(file string) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return fmt.Errorf("keeping the positions: %w", err)
	}
	_, err = temporary.Write(append(text, '\n'))
	if err == nil {
		err = temporary.Sync() // or the new name may be on the disk before what it names
	}
	if err = errors.Join(err, temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("keeping the positions: %w", errors.Join(err, os.Remove(temporary.Name())))
	}
	return nil
}
