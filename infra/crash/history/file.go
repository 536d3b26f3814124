package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// Save writes the history to a file as JSON, and replaces what the file contained.
func (h *History) Save(path string) (err error) {
	f, err := os.Create(path) //nolint:gosec // the caller names it
	if err != nil {
		return fmt.Errorf("saving the history: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriter(f)
	if err := json.NewEncoder(w).Encode(h); err != nil {
		return fmt.Errorf("saving the history: %w", err)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("saving the history: %w", err)
	}
	return nil
}

// Load reads a history that Save wrote. It refuses a file with fields that History does not have: another version of the
// harness wrote it, and what these fields hold would be lost to the checker.
func Load(path string) (*History, error) {
	f, err := os.Open(path) //nolint:gosec // the caller names it
	if err != nil {
		return nil, fmt.Errorf("loading a history: %w", err)
	}
	defer func() { _ = f.Close() }()
	var h History
	decoder := json.NewDecoder(bufio.NewReader(f))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&h); err != nil {
		return nil, fmt.Errorf("loading a history from %s: %w", path, err)
	}
	return &h, nil
}
