package stage

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

// alarmMessage is the message of the lines to find, as docs/logs.md has it.
const alarmMessage = "gate and log are at odds"

// maxLine is the longest line that a log may have.
const maxLine = 1 << 20

// Alarms returns the warnings about gates in the logs of a folder, one file for each process.
func Alarms(folder string) ([]history.Alarm, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.log"))
	if err != nil {
		return nil, err
	}
	var alarms []history.Alarm
	for _, file := range files {
		found, err := alarmsOf(file)
		if err != nil {
			return nil, fmt.Errorf("looking for alarms in %s: %w", file, err)
		}
		alarms = append(alarms, found...)
	}
	return alarms, nil
}

// alarmsOf reads one log. Lines that are not JSON are skipped: the harness and the runtime write them.
func alarmsOf(file string) ([]history.Alarm, error) {
	f, err := os.Open(file) //nolint:gosec // a log of this run
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var alarms []history.Alarm
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		if !strings.Contains(lines.Text(), alarmMessage) {
			continue
		}
		var l struct {
			Time       time.Time
			Alarm      string
			Source     string
			Order      string `json:"order_increment_id"`
			Generation int
		}
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return nil, err
		}
		alarms = append(alarms, history.Alarm{
			At: l.Time.UTC(), Target: strings.TrimSuffix(filepath.Base(file), ".log"), Text: l.Alarm, Source: l.Source, Order: l.Order, Generation: l.Generation,
		})
	}
	return alarms, lines.Err()
}
