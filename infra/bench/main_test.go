package bench

import (
	"context"
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// A process with these variables is the naive connector, or another relay, and no test.
const (
	naiveAddr = "ERPCONNECTOR_NAIVE_ADDR"
	naiveERP  = "ERPCONNECTOR_NAIVE_ERP"

	otherRelay = "ERPCONNECTOR_OTHER_RELAY"
	bareLoop   = "bare loop"
	stockPath  = "Watermill"
)

func TestMain(m *testing.M) {
	if addr := os.Getenv(naiveAddr); addr != "" {
		fmt.Fprintln(os.Stderr, "naive connector:", runNaive(context.Background(), addr))
		os.Exit(1)
	}
	if relay := os.Getenv(otherRelay); relay != "" {
		if err := runOtherRelay(context.Background(), relay); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", relay, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	testkit.Main(m)
}

func runNaive(ctx context.Context, addr string) error {
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	naive := &Naive{Pool: pool, ERP: os.Getenv(naiveERP), Workers: 32}
	return naive.Run(ctx, listener)
}

// runOtherRelay has the product's environment.
func runOtherRelay(ctx context.Context, relay string) error {
	cfg, err := config.FromEnv(os.LookupEnv)
	if err != nil {
		return err
	}
	pool, err := pgxpool.New(ctx, cfg.DatabaseURL)
	if err != nil {
		return err
	}
	defer pool.Close()
	other := OtherRelay{Pool: pool, Kafka: cfg.Kafka()}
	if relay == stockPath {
		return other.Watermill(ctx)
	}
	return other.Bare(ctx)
}
