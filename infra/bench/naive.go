package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/run"
)

// Naive is the connector that a team writes in a week: POST puts the event into one row, workers call the ERP and mark the row. It is
// what the product's price is measured by: it keeps no log, publishes nothing, and books twice after a crash.
type Naive struct {
	Pool    *pgxpool.Pool
	ERP     string // base URL
	Workers int
}

const naiveSchema = `
CREATE TABLE IF NOT EXISTS naive_sync (
	id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	event_id   text        NOT NULL UNIQUE,
	order_id   text        NOT NULL,
	payload    jsonb       NOT NULL,
	status     text        NOT NULL DEFAULT 'pending',
	reference  text,
	updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS naive_sync_pending ON naive_sync (id) WHERE status = 'pending'`

// Run serves on the listener until ctx ends.
func (n *Naive) Run(ctx context.Context, listener net.Listener) error {
	if _, err := n.Pool.Exec(ctx, naiveSchema); err != nil {
		return fmt.Errorf("making the naive connector's table: %w", err)
	}
	woken := make(chan struct{}, n.Workers)
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		event, err := decode(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := n.accept(r.Context(), event); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		select {
		case woken <- struct{}{}:
		default:
		}
	})}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: n.Workers}}
	defer client.CloseIdleConnections()
	var working sync.WaitGroup
	defer working.Wait()
	for range n.Workers {
		working.Go(func() {
			for ctx.Err() == nil {
				if found, err := n.sync(ctx, client); err != nil || !found {
					wait(ctx, woken)
				}
			}
		})
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the naive connector: %w", err)
	}
	return nil
}

// wait waits for an event, and for a second at most.
func wait(ctx context.Context, woken <-chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	select {
	case <-woken:
	case <-ctx.Done():
	}
}

// naiveEvent is what the naive connector knows of an event.
type naiveEvent struct {
	ID    string `json:"event_id"`
	Order struct {
		ID string `json:"order_increment_id"`
	} `json:"order"`
	body []byte
}

func decode(r *http.Request) (event naiveEvent, err error) {
	if event.body, err = io.ReadAll(r.Body); err != nil {
		return event, err
	}
	return event, json.Unmarshal(event.body, &event)
}

func (n *Naive) accept(ctx context.Context, event naiveEvent) error {
	_, err := n.Pool.Exec(ctx, `INSERT INTO naive_sync (event_id, order_id, payload) VALUES ($1, $2, $3) ON CONFLICT (event_id) DO NOTHING`, event.ID, event.Order.ID, event.body)
	return err
}

// sync brings the oldest free row into the ERP. The row stays locked meanwhile.
func (n *Naive) sync(ctx context.Context, client *http.Client) (found bool, err error) {
	err = pgx.BeginFunc(ctx, n.Pool, func(tx pgx.Tx) error {
		var id int64
		var payload []byte
		err := tx.QueryRow(ctx, `SELECT id, payload -> 'order' FROM naive_sync WHERE status = 'pending' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED`).Scan(&id, &payload)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		found = true
		reference, err := n.call(ctx, client, payload)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE naive_sync SET status = 'success', reference = $2, updated_at = now() WHERE id = $1`, id, reference)
		return err
	})
	if err != nil {
		run.Sleep(ctx, 100*time.Millisecond)
	}
	return found, err
}

func (n *Naive) call(ctx context.Context, client *http.Client, order []byte) (reference string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.ERP, bytes.NewReader(order))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	var said struct {
		Reference string `json:"erp_reference"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&said); err != nil {
		return "", err
	}
	if answer.StatusCode/100 != 2 {
		return "", fmt.Errorf("the ERP says %s", answer.Status)
	}
	return said.Reference, nil
}
