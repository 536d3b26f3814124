// Package freeport gives tests and the crash harness ports for servers that come and go.
package freeport

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// The ports of tests lie below those that systems give to outgoing connections: else one of them could take the port of a server that is
// away for a moment. Each process has a block of them, so that two tests never get the same one.
const (
	firstPort = 16000
	blockSize = 1000
	blocks    = 16
)

// portBlock is the block of this process. While it listens at the first port, no other process takes the block.
type portBlock struct {
	held net.Listener

	mu   sync.Mutex
	last int
}

var ownPorts = sync.OnceValues(func() (*portBlock, error) {
	var failed error
	for _, i := range rand.Perm(blocks) {
		first := firstPort + i*blockSize
		l, err := listenAt(first)
		if err == nil {
			return &portBlock{held: l, last: first}, nil
		}
		failed = errors.Join(failed, err)
	}
	return nil, fmt.Errorf("looking for a block of free ports: %w", failed)
})

// Next is a port that nobody listens at, and that no other test gets.
func Next() (int, error) {
	b, err := ownPorts()
	if err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	first := b.held.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // a TCP listener
	for range blockSize {
		b.last = first + 1 + (b.last-first)%(blockSize-1) // after the last one comes the first again
		if l, err := listenAt(b.last); err == nil {
			return b.last, l.Close()
		}
	}
	return 0, fmt.Errorf("the ports from %d to %d are all taken", first, first+blockSize-1)
}

func listenAt(port int) (net.Listener, error) {
	return new(net.ListenConfig).Listen(context.Background(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
}
