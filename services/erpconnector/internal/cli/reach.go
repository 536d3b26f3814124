package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/netfail"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// answerTimeout is how long a server may take for its first answer at the start.
const answerTimeout = 15 * time.Second

var errNoDatabase = errors.New("DATABASE_URL is not set: name the Postgres database, there or in a file that DATABASE_URL_FILE names (`erpconnector up` needs none)")

// reachPostgres makes sure that the database takes us, and else says what to do.
func reachPostgres(ctx context.Context, url string) error {
	if url == "" {
		return errNoDatabase
	}
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("DATABASE_URL cannot be read: write postgres://user:password@host:5432/database (%w)", err)
	}
	if err := postgres.RequireWritable(cfg); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return postgresError(cfg, err)
	}
	return conn.Close(ctx)
}

// postgresError says what to do about a database that cannot be reached.
func postgresError(cfg *pgx.ConnConfig, err error) error {
	at := net.JoinHostPort(cfg.Host, fmt.Sprint(cfg.Port))
	if errors.Is(err, postgres.ErrStandby) {
		return fmt.Errorf("Postgres at %s is a standby, which takes no writes: name the server that does in DATABASE_URL, or all of them", at) //nolint:staticcheck // a name begins with a capital
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		switch refused.Code {
		case "28P01", "28000":
			return fmt.Errorf("Postgres at %s does not take the user %q: check user and password in DATABASE_URL (%s)", at, cfg.User, refused.Message) //nolint:staticcheck // a name begins with a capital
		case "3D000":
			return fmt.Errorf("Postgres at %s has no database %q: create it, or name another one in DATABASE_URL", at, cfg.Database) //nolint:staticcheck // a name begins with a capital
		case "53300":
			return fmt.Errorf("Postgres at %s takes no more connections: raise max_connections, docs/deploy.md says how many are needed", at) //nolint:staticcheck // a name begins with a capital
		case "57P03":
			return fmt.Errorf("Postgres at %s is starting or stopping: try again in a moment", at) //nolint:staticcheck // a name begins with a capital
		}
	}
	return unreachable("Postgres", "DATABASE_URL", at, err)
}

// reachKafka makes sure that a broker takes us, and else says what to do.
func reachKafka(ctx context.Context, cfg kafka.Config) error {
	if len(cfg.Brokers) == 0 {
		return errors.New("KAFKA_BROKERS is not set: name the brokers (`erpconnector up` needs none)")
	}
	client, err := kgo.NewClient(cfg.Options()...)
	if err != nil {
		return fmt.Errorf("KAFKA_BROKERS cannot be used: write host:port, comma-separated (%w)", err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if err := client.Ping(ctx); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return unreachable("Kafka", "KAFKA_BROKERS", strings.Join(cfg.Brokers, ","), err)
	}
	return nil
}

// unreachable says what to check about a server that does not answer.
func unreachable(server, variable, at string, err error) error {
	var noHost *net.DNSError
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case netfail.Refused(err), errors.Is(err, syscall.ENOENT): // a port, or a socket of Unix
		return fmt.Errorf("nothing listens at %s: start %s there, or name another address in %s", at, server, variable)
	case errors.As(err, &noHost):
		return fmt.Errorf("the name %q of %s is not known: check it in %s (%s)", noHost.Name, server, variable, noHost.Err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%s at %s does not answer within %s: check the address in %s, and what stands between", server, at, answerTimeout, variable)
	default:
		return fmt.Errorf("%s at %s cannot be reached: %s; check %s", server, at, oneLine(err), variable)
	}
}

// oneLine is an error of several lines as one.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

var errAddressTaken = errors.New("is taken by another program")

// reachAddress makes sure that HTTP can be served there, before anything else is started.
func reachAddress(ctx context.Context, addr string) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	switch {
	case err == nil:
		return l.Close()
	case netfail.Taken(err):
		return fmt.Errorf("the address %s %w: stop that, or name another one with HTTP_ADDR", addr, errAddressTaken)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("the address %s may not be served by this user: name a port above 1023 with HTTP_ADDR", addr)
	default:
		return fmt.Errorf("HTTP cannot be served at %s: %w; name another address with HTTP_ADDR", addr, err)
	}
}
