package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// Each way in which a server is not there says what to do, in one line.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"nothing listens at a:1: start Kafka there, or name another address in KAFKA_BROKERS":                   &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED},
		"nothing listens at a:1: start Kafka there, or name another address in KAFKA_BROKERS ":                  fmt.Errorf("a: %w", syscall.ENOENT),
		`the name "no.invalid" of Kafka is not known: check it in KAFKA_BROKERS (no such host)`:                 &net.DNSError{Name: "no.invalid", Err: "no such host"},
		"Kafka at a:1 does not answer within 15s: check the address in KAFKA_BROKERS, and what stands between":  fmt.Errorf("a: %w", context.DeadlineExceeded),
		"Kafka at a:1 does not answer within 15s: check the address in KAFKA_BROKERS, and what stands between ": os.ErrDeadlineExceeded,
		"Kafka at a:1 cannot be reached: one two; check KAFKA_BROKERS":                                          errors.New("one\n\ttwo\n"),
	} {
		require.EqualError(t, unreachable("Kafka", "KAFKA_BROKERS", "a:1", err), trimmed(want))
	}
	canceled := fmt.Errorf("asking: %w", context.Canceled)
	require.Equal(t, canceled, unreachable("Kafka", "KAFKA_BROKERS", "a:1", canceled), "Ctrl-C is no fault of the server")
}

// trimmed lets two cases of a map want the same.
func trimmed(text string) string {
	if text[len(text)-1] == ' ' {
		return text[:len(text)-1]
	}
	return text
}

func TestReachPostgres(t *testing.T) {
	t.Parallel()
	database := testkit.Postgres(t)
	require.NoError(t, reachPostgres(t.Context(), database.URL))
	for url, want := range map[string]string{
		"":                                "DATABASE_URL is not set: name the Postgres database, there or in a file that DATABASE_URL_FILE names (`erpconnector up` needs none)",
		"postgres://u:p@127.0.0.1:1/d":    "nothing listens at 127.0.0.1:1: start Postgres there, or name another address in DATABASE_URL",
		"postgres:///d?host=/nowhere":     "nothing listens at /nowhere:5432: start Postgres there, or name another address in DATABASE_URL",
		"postgres://u:p@127.0.0.1:many/d": "DATABASE_URL cannot be read: write postgres://user:password@host:5432/database (",
		"nonsense":                        "DATABASE_URL cannot be read: write postgres://user:password@host:5432/database (",
	} {
		err := reachPostgres(t.Context(), url)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), ":p@", "no password")
	}
	require.ErrorIs(t, reachPostgres(stopped(t), database.URL), context.Canceled)
}

func TestReachKafka(t *testing.T) {
	t.Parallel()
	require.EqualError(t, reachKafka(t.Context(), kafka.Config{}), "KAFKA_BROKERS is not set: name the brokers (`erpconnector up` needs none)")
	require.EqualError(t, reachKafka(t.Context(), kafka.Config{Brokers: []string{"127.0.0.1:1", "127.0.0.1:2"}}),
		"nothing listens at 127.0.0.1:1,127.0.0.1:2: start Kafka there, or name another address in KAFKA_BROKERS")
	require.ErrorContains(t, reachKafka(t.Context(), kafka.Config{Brokers: []string{"a:many"}}), "KAFKA_BROKERS cannot be used: write host:port, comma-separated (")
	require.ErrorIs(t, reachKafka(stopped(t), kafka.Config{Brokers: []string{"127.0.0.1:1"}}), context.Canceled)
	require.NoError(t, reachKafka(t.Context(), testkit.EmbeddedBroker(t)))
}

func TestReachAddress(t *testing.T) {
	t.Parallel()
	free := testkit.FreeAddr(t)
	require.NoError(t, reachAddress(t.Context(), free))
	l, err := net.Listen("tcp", free)
	require.NoError(t, err, "it was given back")
	defer func() { _ = l.Close() }()
	require.EqualError(t, reachAddress(t.Context(), free), "the address "+free+" is taken by another program: stop that, or name another one with HTTP_ADDR")
	require.ErrorContains(t, reachAddress(t.Context(), "192.0.2.1:8080"), "HTTP cannot be served at 192.0.2.1:8080: ")
	require.ErrorContains(t, reachAddress(t.Context(), "192.0.2.1:8080"), "; name another address with HTTP_ADDR")
}

func TestOneLine(t *testing.T) {
	t.Parallel()
	require.Equal(t, "a b c", oneLine(errors.New(" a\n\tb\r\n  c ")))
}
