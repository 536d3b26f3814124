package mockerp

import (
	"encoding/json"
	"fmt"
	"time"
)

// Delay is a time that a fault takes: in JSON a text like "2s", or a number of nanoseconds.
type Delay time.Duration

// MarshalJSON writes it as people do.
func (d Delay) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON reads both forms. It returns an error that says what they are.
func (d *Delay) UnmarshalJSON(raw []byte) error {
	var text string
	if json.Unmarshal(raw, &text) == nil && raw[0] == '"' {
		parsed, err := time.ParseDuration(text)
		if err == nil {
			*d = Delay(parsed)
			return nil
		}
	}
	var number int64
	if raw[0] == '"' || json.Unmarshal(raw, &number) != nil {
		return fmt.Errorf(`is %.40s; it must be a duration like "2s" or "250ms", or a number of nanoseconds`, raw)
	}
	*d = Delay(number)
	return nil
}
