package domain

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// AlertKind is what an alert is about.
type AlertKind string

// The kinds of alerts. docs/alerts.md says what each means.
const (
	AlertOrdersFailed AlertKind = "orders_failed" // by group of errors
	AlertBreaker      AlertKind = "breaker"
	AlertBacklog      AlertKind = "backlog"
	AlertQuarantine   AlertKind = "quarantine"
	AlertDeadLetters  AlertKind = "dead_letters"
	AlertAudit        AlertKind = "audit"
)

// AlertKinds are all of them.
var AlertKinds = []AlertKind{AlertOrdersFailed, AlertBreaker, AlertBacklog, AlertQuarantine, AlertDeadLetters, AlertAudit}

// AlertEvent is what a notice tells of its alert.
type AlertEvent string

// The events of an alert: it is opened once, repeated any number of times, and resolved once.
const (
	AlertNothing  AlertEvent = "" // nothing is to be told
	AlertOpened   AlertEvent = "opened"
	AlertRepeated AlertEvent = "repeated"
	AlertResolved AlertEvent = "resolved"
)

// AlertOthers is the subject that stands for all subjects beyond the most that have alerts of their own.
const AlertOthers = "others"

// AlertKey names an alert while it is open.
type AlertKey struct {
	Kind    AlertKind
	Subject string // what of the kind, like an error group; empty: there is one of the kind
}

// Alert is one alert as a value. The zero value is none.
type Alert struct {
	AlertKey

	OpenedAt   time.Time
	ToldAt     time.Time // of the newest notice
	Told       int64     // the level that was told last, lowered as the level falls: growth is counted from it
	ClearSince time.Time // since when the level is 0; zero: it is not
}

// AlertPolicy says when alerts are repeated and when they are over.
type AlertPolicy struct {
	Interval time.Duration // the least time from a notice to the next repetition
	Settle   time.Duration // how long the level must stay 0 until the alert is resolved
}

// Next is the alert after a look at its level, which is 0 when there is nothing to tell. more is by how much the level has grown since it
// was told last. An alert repeats only what has grown. One that comes again before it was resolved has gone on all the time, so that what
// comes and goes tells no more often than what stays.
func (p AlertPolicy) Next(a Alert, level int64, now time.Time) (next Alert, event AlertEvent, more int64) {
	switch {
	case a.OpenedAt.IsZero():
		return p.open(a, level, now)
	case level <= 0:
		return p.clear(a, now)
	}
	a.ClearSince, a.Told = time.Time{}, min(a.Told, level)
	if level == a.Told || now.Before(a.ToldAt.Add(p.Interval)) {
		return a, AlertNothing, 0
	}
	more = level - a.Told
	a.Told, a.ToldAt = level, now
	return a, AlertRepeated, more
}

func (p AlertPolicy) open(a Alert, level int64, now time.Time) (Alert, AlertEvent, int64) {
	if level <= 0 {
		return a, AlertNothing, 0
	}
	return Alert{AlertKey: a.AlertKey, OpenedAt: now, ToldAt: now, Told: level}, AlertOpened, level
}

func (p AlertPolicy) clear(a Alert, now time.Time) (Alert, AlertEvent, int64) {
	a.Told = 0
	if a.ClearSince.IsZero() {
		a.ClearSince = now
	}
	if now.Before(a.ClearSince.Add(p.Settle)) {
		return a, AlertNothing, 0
	}
	a.ToldAt = now
	return a, AlertResolved, 0
}

// AlertLevels are what a look has found: the levels of the subjects of each kind. A subject that is not there has level 0. A kind that is
// not there could not be told, and its alerts stay as they are.
type AlertLevels map[AlertKind]map[string]int64

// AlertChange is an alert that is not as it was.
type AlertChange struct {
	Alert

	Event AlertEvent // AlertNothing: it changed, and nothing is to be told
	Level int64
	More  int64
}

// Look compares the alerts that are open with what was found, and returns those that change, ordered by their keys.
func (p AlertPolicy) Look(open []Alert, found AlertLevels, now time.Time) (changes []AlertChange) {
	known := map[AlertKey]Alert{}
	for _, a := range open {
		known[a.AlertKey] = a
	}
	for kind, levels := range found {
		for subject := range levels {
			key := AlertKey{kind, subject}
			if _, isOpen := known[key]; !isOpen {
				known[key] = Alert{AlertKey: key}
			}
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(known), compareAlertKeys) {
		levels, told := found[key.Kind]
		if !told {
			continue
		}
		level := max(0, levels[key.Subject])
		next, event, more := p.Next(known[key], level, now)
		if next != known[key] {
			changes = append(changes, AlertChange{Alert: next, Event: event, Level: level, More: more})
		}
	}
	return changes
}

func compareAlertKeys(a, b AlertKey) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Subject, b.Subject))
}

// GatherSubjects keeps the number of alerts of one kind bounded: the levels of so many subjects stay, those that have an open alert first,
// then the highest. The others are summed up as AlertOthers. So errors that no rule can group do not become thousands of alerts.
func GatherSubjects(levels map[string]int64, isOpen func(subject string) bool, most int) map[string]int64 {
	if len(levels) <= most {
		return levels
	}
	rank := func(subject string) int {
		if isOpen(subject) {
			return 0
		}
		return 1
	}
	subjects := slices.SortedFunc(maps.Keys(levels), func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(levels[b], levels[a]), cmp.Compare(a, b))
	})
	out := map[string]int64{}
	for i, subject := range subjects {
		if i >= most {
			subject = AlertOthers
		}
		out[subject] += levels[subjects[i]]
	}
	return out
}
