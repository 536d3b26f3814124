package txn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A slot has several transactional ids: "syncer-0", "syncer-0.1", … Mostly the first is in use. A transaction that has ended
// is over for its id only once each partition it wrote to has its marker; while one of them takes no records (it has no
// leader, or too few replicas in sync), the id takes no further transaction, whichever partitions that is for. Then the slot
// goes on with its next id. What the transaction came to is decided by then, and cannot change any more.
const (
	ids       = 8
	stuckLook = 250 * time.Millisecond
	stuckFor  = 3 // looks in a row
)

// errStuck means that an id's last transaction is decided and has not ended everywhere.
var errStuck = errors.New("the id's last transaction has not ended in all of its partitions")

// identity is the ids of one slot.
type identity struct {
	slot  string // with the prefix
	n     int    // the id in use
	looks int    // in a row that found its transaction decided and not ended
	swept bool
	stuck bool // an id could not be fenced when the slot was opened
}

func (i identity) current() string {
	if i.n == 0 {
		return i.slot
	}
	return i.slot + "." + strconv.Itoa(i.n)
}

func (i *identity) next() { i.n, i.looks = (i.n+1)%ids, 0 }

// slotOf is the slot that an id belongs to.
func slotOf(id string) string {
	at := strings.LastIndexByte(id, '.')
	if at < 0 {
		return id
	}
	if n, err := strconv.Atoi(id[at+1:]); err != nil || n < 1 || n >= ids {
		return id
	}
	return id[:at]
}

// open is a client of the first id that takes transactions. Before it returns, whatever former holders of the slot left open
// is decided, under whichever id.
func (i *identity) open(ctx context.Context, options func(id string) []kgo.Opt) (*kgo.Client, error) {
	for range ids {
		client, err := connect(ctx, i.current(), options)
		if errors.Is(err, errStuck) {
			i.stuck = i.stuck || !i.swept
			i.next()
			continue
		}
		if err == nil && !i.swept {
			if err = i.sweep(ctx, client, options); err != nil {
				client.Close()
			}
		}
		i.looks = 0
		return client, err
	}
	return nil, fmt.Errorf("transactional ids of %s: all %d are taken: %w", i.slot, ids, errStuck)
}

// sweep fences the slot's other ids, so that no former holder commits under one of them. Those that nobody has used need none.
func (i *identity) sweep(ctx context.Context, client *kgo.Client, options func(id string) []kgo.Opt) error {
	used, err := kadm.NewClient(client).ListTransactions(ctx, nil, nil)
	for n := range ids {
		other := identity{slot: i.slot, n: n}.current()
		if _, is := used[other]; n == i.n || (err == nil && !is) {
			continue
		}
		client, err := connect(ctx, other, options)
		switch {
		case err == nil:
			client.Close()
		case errors.Is(err, errStuck):
			i.stuck = true
		default:
			return err
		}
	}
	i.swept = true
	return nil
}

// look is true when the id's last transaction is decided, and has not ended everywhere for a while.
func (i *identity) look(ctx context.Context, client *kgo.Client) (stuck bool, err error) {
	ending, err := isEnding(ctx, kadm.NewClient(client), i.current())
	if err != nil || !ending {
		i.looks = 0
		return false, err
	}
	i.looks++
	return i.looks >= stuckFor, nil
}

// connect fences an id: when it returns without an error, or with errStuck, the last transaction under it is decided.
func connect(ctx context.Context, id string, options func(id string) []kgo.Opt) (*kgo.Client, error) {
	client, err := kgo.NewClient(options(id)...)
	if err != nil {
		return nil, fmt.Errorf("transactional id %s: %w", id, err)
	}
	if err := fence(ctx, client, id); err != nil {
		client.Close()
		return nil, fmt.Errorf("fencing transactional id %s: %w", id, err)
	}
	return client, nil
}

func fence(ctx context.Context, client *kgo.Client, id string) error {
	fencing, cancel := context.WithCancel(ctx)
	defer cancel()
	fenced := make(chan error, 1)
	go func() {
		_, _, err := client.ProducerID(fencing)
		fenced <- err
	}()
	look := time.NewTicker(stuckLook)
	defer look.Stop()
	for looks := 0; ; {
		select {
		case err := <-fenced:
			return err
		case <-look.C:
		}
		looks++
		if ending, err := isEnding(ctx, kadm.NewClient(client), id); err != nil || !ending {
			looks = 0
		}
		if looks == stuckFor {
			cancel()
			<-fenced
			return errStuck
		}
	}
}

// isEnding is true when the id's last transaction is decided, and its markers are not written yet.
func isEnding(ctx context.Context, adm *kadm.Client, id string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, abortTimeout)
	defer cancel()
	described, err := adm.DescribeTransactions(ctx, id)
	if err != nil {
		return false, err
	}
	return slices.Contains([]string{"PrepareCommit", "PrepareAbort"}, described[id].State), nil
}

// openTransactions are the ids of the cluster's transactions that are not decided. Those that a broker coordinates which does
// not answer are missing, until it or its successor does.
func openTransactions(ctx context.Context, adm *kadm.Client) ([]string, error) {
	listed, err := adm.ListTransactions(ctx, nil, []string{"Ongoing"})
	var some *kadm.ShardErrors
	if err != nil && (!errors.As(err, &some) || some.AllFailed) {
		return nil, fmt.Errorf("listing open transactions: %w", err)
	}
	return listed.TransactionalIDs(), nil
}
