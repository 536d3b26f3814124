// Package pacetest gives tests a store of the ERP's pace without Postgres. It works in a bubble of testing/synctest.
package pacetest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/pace"
	"github.com/erpconnector/erpconnector/shared/run"
)

// Memory is a store in memory. Its clock is time.Now.
type Memory struct {
	Latency func() time.Duration // of each statement; nil: none

	mu        sync.Mutex
	state     pace.State
	events    []domain.BreakerEvent
	members   map[string]pace.Member
	followers map[chan struct{}]bool
	away      bool
}

// ErrAway is what a store says that is away.
var ErrAway = errors.New("the store is away")

// New makes a store.
func New() *Memory {
	return &Memory{members: map[string]pace.Member{}, followers: map[chan struct{}]bool{}}
}

// SetAway lets every statement fail, until it is back.
func (m *Memory) SetAway(away bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.away = away
}

// statement waits as long as one takes. It returns with the lock held when the store answers.
func (m *Memory) statement(ctx context.Context) error {
	if m.Latency != nil && !run.Sleep(ctx, m.Latency()) {
		return ctx.Err()
	}
	m.mu.Lock()
	if m.away {
		m.mu.Unlock()
		return ErrAway
	}
	return nil
}

// Load reads the state and the members.
func (m *Memory) Load(ctx context.Context) (pace.View, error) {
	if err := m.statement(ctx); err != nil {
		return pace.View{}, err
	}
	defer m.mu.Unlock()
	return m.view(), nil
}

func (m *Memory) view() pace.View {
	v := pace.View{State: m.state, At: time.Now().UTC()}
	for _, one := range m.members {
		if v.At.Sub(one.SeenAt) < pace.MemberTimeout {
			v.Members = append(v.Members, one)
		}
	}
	return v
}

// Change applies changes.
func (m *Memory) Change(ctx context.Context, _ pace.State, ops ...pace.Op) (pace.State, []domain.BreakerEvent, error) {
	if err := m.statement(ctx); err != nil {
		return pace.State{}, nil, err
	}
	defer m.mu.Unlock()
	after, events := m.state.Apply(ops)
	after.Version = m.state.Version + 1
	m.state = after
	m.events = append(m.events, events...)
	for follower := range m.followers {
		select {
		case follower <- struct{}{}:
		default:
		}
	}
	return after, events, nil
}

// Events are all changes of the breaker.
func (m *Memory) Events() []domain.BreakerEvent {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.events)
}

// Peek is what stands in the store, whether it is away or not.
func (m *Memory) Peek() pace.State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

// Members are the processes that have not left, whether they live or not.
func (m *Memory) Members() (ids []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.members))
}

// Follow delivers the state.
func (m *Memory) Follow(ctx context.Context, f pace.Follower) error {
	changed := make(chan struct{}, 1)
	m.mu.Lock()
	m.followers[changed] = true
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.followers, changed)
	}()
	for {
		v, err := m.beat(ctx, f.Member())
		if err != nil {
			return err
		}
		f.Deliver(v)
		poll := time.NewTimer(f.Wait())
		select {
		case <-ctx.Done():
			poll.Stop()
			return ctx.Err()
		case <-changed:
		case <-f.Tell:
		case <-poll.C:
		}
		poll.Stop()
	}
}

func (m *Memory) beat(ctx context.Context, who domain.Member) (pace.View, error) {
	if err := m.statement(ctx); err != nil {
		return pace.View{}, err
	}
	defer m.mu.Unlock()
	now := time.Now().UTC()
	own := m.members[who.ID]
	if now.Sub(own.SeenAt) >= pace.MemberTimeout {
		own.JoinedAt = now
	}
	own.Member, own.SeenAt = who, now
	m.members[who.ID] = own
	return m.view(), nil
}

// Leave removes a member.
func (m *Memory) Leave(ctx context.Context, id string) error {
	if err := m.statement(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	delete(m.members, id)
	return nil
}
