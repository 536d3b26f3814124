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

// A producer has one base id, and further transactional ids made from it: "copier-0", "copier-0.1", … It uses the first
// as a rule. A transaction that is decided is over only once each partition it wrote to has a marker. While one of
// these partitions takes no records (it has no leader, or too few in-sync replicas), the id takes no further
// transaction, not even for other partitions. Then the producer goes on with the next id. The transaction's result is
// decided by then and cannot change.
const (
	maxIDs              = 8
	endingCheckInterval = 250 * time.Millisecond
	stuckAfterChecks    = 3 // in a row
)

// errStuck means that an id's last transaction is decided and has not ended everywhere.
var errStuck = errors.New("the id's last transaction has not ended in all of its partitions")

// identity is the transactional ids of one producer.
type identity struct {
	base         string // with the prefix
	n            int    // the id in use
	endingChecks int    // how many in a row found the id's transaction decided and not ended
	othersFenced bool
	stuck        bool // an id could not be fenced at the first opening
}

func (i identity) current() string {
	if i.n == 0 {
		return i.base
	}
	return i.base + "." + strconv.Itoa(i.n)
}

func (i *identity) next() { i.n, i.endingChecks = (i.n+1)%maxIDs, 0 }

// baseOf returns the base id that an id was made from.
func baseOf(id string) string {
	at := strings.LastIndexByte(id, '.')
	if at < 0 {
		return id
	}
	if n, err := strconv.Atoi(id[at+1:]); err != nil || n < 1 || n >= maxIDs {
		return id
	}
	return id[:at]
}

// open returns a client with the first id that takes transactions. By then all transactions that former users left open
// are decided, those of the other ids too.
func (i *identity) open(ctx context.Context, options func(id string) []kgo.Opt) (*kgo.Client, error) {
	for range maxIDs {
		client, err := connect(ctx, i.current(), options)
		if errors.Is(err, errStuck) {
			i.stuck = i.stuck || !i.othersFenced
			i.next()
			continue
		}
		if err == nil && !i.othersFenced {
			if err = i.fenceOthers(ctx, client, options); err != nil {
				client.Close()
			}
		}
		i.endingChecks = 0
		return client, err
	}
	return nil, fmt.Errorf("transactional ids of %s: all %d are taken: %w", i.base, maxIDs, errStuck)
}

// fenceOthers fences the other ids, so that no former user commits under one of them. Ids that were never used need no
// fencing.
func (i *identity) fenceOthers(ctx context.Context, client *kgo.Client, options func(id string) []kgo.Opt) error {
	used, err := kadm.NewClient(client).ListTransactions(ctx, nil, nil)
	for n := range maxIDs {
		other := identity{base: i.base, n: n}.current()
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
	i.othersFenced = true
	return nil
}

// checkEnding is true when several checks in a row found the id's last transaction decided and not ended everywhere.
func (i *identity) checkEnding(ctx context.Context, client *kgo.Client) (stuck bool, err error) {
	ending, err := isEnding(ctx, kadm.NewClient(client), i.current())
	if err != nil || !ending {
		i.endingChecks = 0
		return false, err
	}
	i.endingChecks++
	return i.endingChecks >= stuckAfterChecks, nil
}

// connect fences an id. When it returns no error, or errStuck, the last transaction under the id is decided.
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

// fence asks for a producer id, which fences former users. The client retries while the last transaction has not ended
// everywhere, so fence checks for that itself and gives up with errStuck.
func fence(ctx context.Context, client *kgo.Client, id string) error {
	fencing, cancel := context.WithCancel(ctx)
	defer cancel()
	fenced := make(chan error, 1)
	go func() {
		_, _, err := client.ProducerID(fencing)
		fenced <- err
	}()
	tick := time.NewTicker(endingCheckInterval)
	defer tick.Stop()
	for checks := 0; ; {
		select {
		case err := <-fenced:
			return err
		case <-tick.C:
		}
		checks++
		if ending, err := isEnding(ctx, kadm.NewClient(client), id); err != nil || !ending {
			checks = 0
		}
		if checks == stuckAfterChecks {
			cancel()
			<-fenced //nolint:errcheck // it was cancelled
			return errStuck
		}
	}
}

// isEnding is true when the id's last transaction is decided and its markers are not all written.
func isEnding(ctx context.Context, adm *kadm.Client, id string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, abortTimeout)
	defer cancel()
	described, err := adm.DescribeTransactions(ctx, id)
	if err != nil {
		return false, err
	}
	return slices.Contains([]string{"PrepareCommit", "PrepareAbort"}, described[id].State), nil
}

// openTransactions returns the ids of the cluster's transactions that are not decided. The transactions that a broker
// coordinates are missing while it does not answer.
func openTransactions(ctx context.Context, adm *kadm.Client) ([]string, error) {
	listed, err := adm.ListTransactions(ctx, nil, []string{"Ongoing"})
	var some *kadm.ShardErrors
	if err != nil && (!errors.As(err, &some) || some.AllFailed) {
		return nil, fmt.Errorf("listing open transactions: %w", err)
	}
	return listed.TransactionalIDs(), nil
}
