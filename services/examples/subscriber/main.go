// Command subscriber is a sample of a service that follows the connector's events with Watermill: it keeps a warehouse's
// pick list, with the orders the ERP has. docs/watermill.md tells how it works.
//
// It reads DATABASE_URL, KAFKA_BROKERS, KAFKA_TOPIC_PREFIX and HTTP_ADDR (metrics) as the connector does.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/erpconnector/erpconnector/shared/config"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "subscriber:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	cfg, err := config.FromEnv(os.LookupEnv)
	if err != nil {
		return err
	}
	pool, err := pgxpool.New(ctx, cfg.DatabaseURL)
	if err != nil {
		return fmt.Errorf("connecting to Postgres: %w", err)
	}
	defer pool.Close()
	registry := prometheus.NewRegistry()
	s, err := newService(ctx, params{
		kafka: cfg.Kafka().As("warehouse"),
		pool:  pool, registry: registry, log: slog.New(slog.NewJSONHandler(os.Stderr, nil)), firstRetry: 100 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	server := &http.Server{
		Addr: cfg.HTTP.Addr, Handler: promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), ReadHeaderTimeout: 5 * time.Second,
	}
	defer func() { _ = server.Close() }()
	go func() { cancel(server.ListenAndServe()) }()
	err = s.run(ctx)
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		err = errors.Join(err, cause)
	}
	return err
}
