//go:build speed

package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	statusTime        = 10 * time.Second // of one rate
	statusConnections = 64
)

// statusLoad asks for the status of orders in an open loop: requests come at their time, whether or not those before are answered, and a
// request's time begins when it came, be there a connection free or not. The driver, the product and Postgres share the machine.
func (m *many) statusLoad(t *testing.T) {
	t.Helper()
	for _, rate := range []int{250, 500, 1000, 2000, 3000, 4000, 5000} {
		if rate > *rateFlag {
			return
		}
		before, began := used(t), time.Now()
		took := m.atRate(t, rate)
		cpu, seconds, requests := used(t).Since(before), time.Since(began).Seconds(), float64(len(took))
		t.Logf("status at %4d/s: answered %5.0f/s, p50 %6.2f ms, p90 %6.2f ms, p99 %7.2f ms; CPU a request: %.0f µs of the product, %.0f µs of Postgres",
			rate, requests/seconds, milliseconds(quantile(took, 0.5)), milliseconds(quantile(took, 0.9)), milliseconds(quantile(took, 0.99)),
			1e6*cpu.Product/requests, 1e6*cpu.Postgres/requests)
	}
}

// atRate returns how long each request took, sorted.
func (m *many) atRate(t *testing.T, rate int) (took []time.Duration) {
	t.Helper()
	due := make(chan time.Time, rate*int(statusTime.Seconds()))
	var asking sync.WaitGroup
	var mu sync.Mutex
	for range statusConnections {
		asking.Go(func() {
			c := m.connect(t)
			defer func() { _ = c.Close() }()
			in := bufio.NewReader(c)
			var mine []time.Duration
			for at := range due {
				order := 1_000_000_001 + rand.IntN(*manyFlag/10)*10 //nolint:gosec // any of the shop default
				status, err := askStatus(c, in, order)
				mine = append(mine, time.Since(at))
				if err != nil || status != "200" {
					t.Errorf("order %d: %q, %v", order, status, err)
					return
				}
			}
			mu.Lock()
			took = append(took, mine...)
			mu.Unlock()
		})
	}
	began := time.Now()
	for n := range cap(due) {
		at := began.Add(time.Duration(n) * time.Second / time.Duration(rate))
		time.Sleep(time.Until(at))
		due <- time.Now() // the system's timers are late by up to a millisecond
	}
	close(due)
	asking.Wait()
	require.Len(t, took, cap(due))
	slices.Sort(took)
	return took
}

func (m *many) connect(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(m.site, "http://"))
	require.NoError(t, err)
	return c
}

// askStatus asks over a connection that is kept. An HTTP client would take as much of the processors as the answer.
func askStatus(c net.Conn, in *bufio.Reader, order int) (status string, err error) {
	_, err = fmt.Fprintf(c, "GET /rest/V1/erpconnector/sync-status/%d HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", order, token)
	for length := 0; err == nil; {
		var line []byte
		line, err = in.ReadSlice('\n')
		name, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		switch {
		case status == "" && len(value) >= 3:
			status = string(value[:3])
		case bytes.EqualFold(name, []byte("Content-Length:")):
			length, err = strconv.Atoi(string(value))
		case len(name) == 0 && err == nil: // the body follows
			_, err = in.Discard(length)
			return status, err
		}
	}
	return status, err
}
