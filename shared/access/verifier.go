package access

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/run"
)

const (
	// freshFor is how long an answer of the database counts, so within how long a token that was revoked is refused.
	freshFor = 2 * time.Second
	// staleFor is how long a token that was good counts while the database does not answer.
	staleFor = time.Minute

	noteInterval = time.Minute
	maxCached    = 10_000
)

// Verifier tells whose token a request has. It asks the database once in two seconds for a token that is in use, and writes down once
// a minute which were used. It is safe for concurrent use.
type Verifier struct {
	store *Store
	log   *slog.Logger
	now   func() time.Time

	mu    sync.Mutex
	known map[[sha256.Size]byte]known
	used  map[int64]time.Time
}

// known is a token as the database had it at that time.
type known struct {
	token Token
	at    time.Time
}

// NewVerifier makes a Verifier.
func NewVerifier(store *Store, log *slog.Logger) *Verifier {
	return &Verifier{
		store: store, log: log.With("service", "access"), now: time.Now,
		known: map[[sha256.Size]byte]known{}, used: map[int64]time.Time{},
	}
}

// Identify returns whose token it is. It returns httpapi.ErrNoToken for what is none, or none any more, and other errors when that could
// not be told.
func (v *Verifier) Identify(ctx context.Context, secret string) (httpapi.Identity, error) {
	if !isSecret(secret) {
		return httpapi.Identity{}, httpapi.ErrNoToken
	}
	t, err := v.look(ctx, secret)
	if errors.Is(err, ErrUnknown) {
		return httpapi.Identity{}, httpapi.ErrNoToken
	}
	if err != nil {
		return httpapi.Identity{}, err
	}
	now := v.now()
	if !t.InForce(now) {
		return httpapi.Identity{}, httpapi.ErrNoToken
	}
	v.mu.Lock()
	v.used[t.ID] = now.Truncate(noteInterval)
	v.mu.Unlock()
	id := httpapi.Identity{Name: t.Name, Resources: t.Resources, ExpiresAt: t.ExpiresAt}
	if t.Source != nil {
		id.Source = *t.Source
	}
	return id, nil
}

// look returns the token as it was known lately, or asks.
func (v *Verifier) look(ctx context.Context, secret string) (Token, error) {
	hash, now := hashOf(secret), v.now()
	v.mu.Lock()
	k, met := v.known[hash]
	v.mu.Unlock()
	if met && now.Sub(k.at) < freshFor {
		return k.token, nil
	}
	t, err := v.store.find(ctx, secret)
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case err == nil:
		if len(v.known) >= maxCached {
			clear(v.known)
		}
		v.known[hash] = known{t, now}
	case errors.Is(err, ErrUnknown):
		delete(v.known, hash)
	case met && now.Sub(k.at) < staleFor:
		return k.token, nil
	}
	return t, err
}

// Name is the worker's name.
func (v *Verifier) Name() string { return "access" }

// Run writes down once a minute which tokens were used, and at its end.
func (v *Verifier) Run(ctx context.Context) error {
	outage := run.Outage{Began: "it is not noted when tokens were used; trying again", Ended: "it is noted again when tokens were used"}
	for {
		again := run.Sleep(ctx, noteInterval)
		err := v.note(context.WithoutCancel(ctx))
		if !again {
			return nil
		}
		outage.Report(v.log, err)
	}
}

// note writes down which tokens were used since the last time. What could not be written is written the next time.
func (v *Verifier) note(ctx context.Context) error {
	v.mu.Lock()
	used := v.used
	v.used = map[int64]time.Time{}
	v.mu.Unlock()
	if len(used) == 0 {
		return nil
	}
	err := v.store.noteUse(ctx, used)
	if err != nil {
		v.mu.Lock()
		maps.Copy(used, v.used)
		v.used = used
		v.mu.Unlock()
	}
	return err
}
