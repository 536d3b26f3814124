// Package postgres has what every use of Postgres in the connector needs: the pool's configuration, transactions that
// retry, and leases, which let one process of many do a piece of work.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/run"
)

const (
	leasePollInterval  = 200 * time.Millisecond // a freed lease is taken within this
	leaseCheckInterval = 2 * time.Second
	leaseTimeout       = 3 * time.Second // an unanswered check after this means that the session, and so the lease, is gone
)

// WithLease runs work while this process holds one of the n leases of the name. A lease is a session advisory lock on a
// connection of its own; a killed process frees it at once. The lease's id ("name-3") can be used as a transactional
// id, as no other process uses it meanwhile. The next holder must fence it, to end what the former holder left open.
// The context of work ends when the lease is lost; then WithLease takes another one and runs work again. WithLease
// returns when ctx ends or work fails.
//
// The lease's connection can listen beside: it does so before work begins, and the lease is lost with it. So work that looks at its start
// for what was told before misses nothing, and need not ask again and again.
func WithLease(ctx context.Context, pool *pgxpool.Pool, name string, n int, log *slog.Logger, work func(ctx context.Context, leaseID string) error,
	heard ...Listening,
) error {
	outage := run.Outage{
		Began: "waiting for a lease: Postgres gives none", Ended: "Postgres gives leases again", Fields: []any{"lease", name, "leases", n},
	}
	standingBy := false
	c := candidate{pool: pool, name: name, n: n, heard: heard}
	defer func() { c.close(ctx) }()
	for ctx.Err() == nil {
		l, err := c.acquire(ctx)
		held := errors.Is(err, errHeld)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil
		case held && !standingBy:
			log.Info("standing by; another process holds the lease", "lease", name, "leases", n)
		case !held:
			outage.Report(log, err)
		}
		standingBy = held
		if err != nil {
			run.Sleep(ctx, leasePollInterval)
			continue
		}
		if err := l.hold(ctx, work); err != nil {
			return err
		}
	}
	return nil
}

// LeaseID returns the id of a lease of WithLease, for TryLease.
func LeaseID(name string, number int) string { return fmt.Sprintf("%s-%d", name, number) }

// Listening is a channel of Postgres, and what is called for each notification. It must not block.
type Listening struct {
	Channel string
	Heard   func()
}

type lease struct {
	id    string
	conn  *pgx.Conn
	heard []Listening
}

var errHeld = errors.New("all leases are held")

// candidate asks for one of the n leases of the name, on one connection.
type candidate struct {
	pool  *pgxpool.Pool
	name  string
	n     int
	heard []Listening
	conn  *pgx.Conn // nil: not connected
}

// acquire takes the first free lease, which gets the connection. It returns errHeld when there is none; then the connection stays for
// the next try, as to connect costs Postgres much more than to ask.
func (c *candidate) acquire(ctx context.Context) (*lease, error) {
	asking, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	id, err := c.ask(asking)
	if errors.Is(err, errHeld) {
		return nil, err
	}
	l := &lease{id: id, conn: c.conn, heard: c.heard}
	if err == nil {
		err = l.listen(asking)
	}
	if err != nil {
		c.close(ctx)
		return nil, fmt.Errorf("taking a lease: %w", err)
	}
	c.conn = nil
	return l, nil
}

// ask returns the id of the lease that it took.
func (c *candidate) ask(ctx context.Context) (id string, err error) {
	if c.conn == nil {
		if c.conn, err = Connect(ctx, c.pool); err != nil {
			return "", fmt.Errorf("connecting to Postgres: %w", err)
		}
	}
	for i := range c.n {
		id := LeaseID(c.name, i)
		if got, err := tryLock(ctx, c.conn, id); err != nil || got {
			return id, err
		}
	}
	return "", errHeld
}

func (c *candidate) close(ctx context.Context) {
	if c.conn == nil {
		return
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseTimeout)
	defer cancel()
	_ = c.conn.Close(closing)
	c.conn = nil
}

// listen asks for the notifications of its channels.
func (l *lease) listen(ctx context.Context) error {
	for _, c := range l.heard {
		if _, err := l.conn.Exec(ctx, "LISTEN "+c.Channel); err != nil {
			return err
		}
	}
	return nil
}

// tell passes a notification on.
func (l *lease) tell(channel string) {
	for _, c := range l.heard {
		if c.Channel == channel {
			c.Heard()
		}
	}
}

// hold runs work until it returns, or until the lease is lost; then the context of work ends.
func (l *lease) hold(ctx context.Context, work func(ctx context.Context, leaseID string) error) error {
	held, lose := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		defer lose()
		l.watch(held)
	}()
	err := work(held, l.id)
	lose()
	<-watched
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseTimeout)
	defer cancel()
	_ = l.conn.Close(closing)
	return err
}

// watch returns when the session has ended. Waiting for a message notices a closed connection at once. The ping notices
// a network that does not answer.
func (l *lease) watch(ctx context.Context) {
	for ctx.Err() == nil {
		wait, cancel := context.WithTimeout(ctx, leaseCheckInterval)
		said, err := l.conn.WaitForNotification(wait)
		quiet := wait.Err() != nil
		cancel()
		if err == nil {
			l.tell(said.Channel)
		}
		if err != nil && !quiet {
			return
		}
		ping, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseTimeout)
		err = l.conn.Ping(ping)
		cancel()
		if err != nil {
			return
		}
	}
}
