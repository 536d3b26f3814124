// Package settingtest gives tests settings that change while they are in force.
package settingtest

import (
	"sync/atomic"

	"github.com/erpconnector/erpconnector/shared/setting"
)

// Changeable is a setting.Reader whose settings a test changes.
type Changeable struct {
	current atomic.Pointer[setting.Settings]
	reads   atomic.Int64
}

// New begins with the settings.
func New(s setting.Settings) *Changeable {
	c := &Changeable{}
	c.current.Store(&s)
	return c
}

// Current returns the settings in force.
func (c *Changeable) Current() setting.Settings {
	c.reads.Add(1)
	return *c.current.Load()
}

// Change puts changed settings in force. It is not for two goroutines at once.
func (c *Changeable) Change(change func(s *setting.Settings)) {
	s := *c.current.Load()
	change(&s)
	c.current.Store(&s)
}

// Reads is how often somebody asked: a test waits for it to learn that somebody looks, and goes by what is in force.
func (c *Changeable) Reads() int64 { return c.reads.Load() }
