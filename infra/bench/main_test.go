package bench

import (
	"context"
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

// A process with these variables is the naive connector and no test.
const (
	naiveAddr = "ERPCONNECTOR_NAIVE_ADDR"
	naiveERP  = "ERPCONNECTOR_NAIVE_ERP"
)

func TestMain(m *testing.M) {
	if addr := os.Getenv(naiveAddr); addr != "" {
		fmt.Fprintln(os.Stderr, "naive connector:", runNaive(context.Background(), addr))
		os.Exit(1)
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
