package ingest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/commerce"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// anyJSON is JSON text that Postgres takes as jsonb, and some that it does not.
func anyJSON(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		kind := rapid.IntRange(0, 9).Draw(t, "kind")
		if depth == 0 && kind > 6 {
			kind -= 5
		}
		switch kind {
		case 0:
			return rapid.SampledFrom([]string{`null`, `true`, `false`, `""`, `0`, `-0.0`, `{}`, `[]`}).Draw(t, "scalar")
		case 1, 2:
			return rapid.SampledFrom([]string{
				`1e131071`, `-1E+131071`, `1e-16383`, `1e131072`, `1e400000`, `-1e400000`, `1e-400000`, `1e9999999999999999999`,
				`12345678901234.12345678`, `29.949999999999999`, `1.42e-14`, `0e0`, strings.Repeat("9", 300) + "." + strings.Repeat("9", 300),
			}).Draw(t, "number")
		case 3:
			return rapid.SampledFrom([]string{
				`"\u0000"`, `"\ud800"`, `"\ud83d\ude00"`, `"\u001b[2J\n"`, `"漢字 שלום"`, `"%s %d % %%"`, `"'; DROP TABLE x; --"`, `"\\"`,
				`"` + strings.Repeat("ä", 400) + `"`, `"\u00a0"`, `"\ufeff"`,
			}).Draw(t, "odd text")
		case 4, 5, 6:
			return asJSONText(rapid.SampledFrom([]string{"e1", "order.placed", "default", "shop-b", "Shop B", "1001", "..", "x"}).Draw(t, "text"))
		case 7:
			return "[" + strings.Join(rapid.SliceOfN(anyJSON(depth-1), 0, 3).Draw(t, "list"), ",") + "]"
		default:
			return drawMembers(t, depth, []string{"a", "order_increment_id", "items", "", "increment_id"})
		}
	})
}

func asJSONText(s string) string { return fmt.Sprintf("%q", s) }

func drawMembers(t *rapid.T, depth int, names []string) string {
	var members []string
	for _, name := range names {
		if rapid.IntRange(0, 4).Draw(t, "has "+name) > 0 {
			members = append(members, asJSONText(name)+":"+anyJSON(depth-1).Draw(t, name))
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

// Of the cast to jsonb, which is made before the function is called; docs/publish.md names them.
var castCodes = []string{"22P02", "22P05", "22003"}

func codeOf(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}

// For whatever jsonb erp_publish raises 22023 or nothing, and takes what the Go library takes, under the same source.
func TestERPPublishRaisesNothingElse(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	published, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		tx, err := pool.Begin(ctx)
		require.NoError(t, err)
		defer func() { _ = tx.Rollback(ctx) }()
		for range 8 {
			event := drawMembers(t, 3, []string{"event_id", "type", "source", "order", "invoice"})
			if rapid.IntRange(0, 19).Draw(t, "no object") == 0 {
				event = anyJSON(2).Draw(t, "event")
			}
			if code := try(ctx, t, tx, `SELECT $1::text::jsonb`, event); code != "" {
				require.Contains(t, castCodes, code, event)
				continue
			}
			code := try(ctx, t, tx, `SELECT erp_publish($1::text::jsonb)`, event)
			goErr := commerce.Outbox{}.Publish(ctx, tx, commerce.Event{JSON: []byte(event)})
			if code != "" {
				refused++
				require.Equal(t, "22023", code, event)
				require.ErrorIs(t, goErr, commerce.ErrIncomplete, event)
				continue
			}
			published++
			require.NoError(t, goErr, event)
			var same bool
			require.NoError(t, tx.QueryRow(ctx, `SELECT count(DISTINCT source) = 1 AND count(DISTINCT convert_from(payload, 'UTF8')::jsonb) = 1
				FROM (SELECT * FROM commerce_outbox ORDER BY id DESC LIMIT 2) o`).Scan(&same))
			require.True(t, same, event)
		}
	})
	require.Positive(t, published)
	require.Positive(t, refused)
}

// try runs a statement that may fail without ending the transaction, and gives the error's SQLSTATE.
func try(ctx context.Context, t *rapid.T, tx pgx.Tx, sql, arg string) string {
	err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, sql, arg)
		return err
	})
	if err != nil {
		require.NotEmpty(t, codeOf(err), "%v", err)
	}
	return codeOf(err)
}

// Seen: such a number failed the shop's own transaction. The cast to jsonb does that; what is kept as bytes is told by the
// quarantine.
func TestNumbersThatJSONBCannotHoldAreToldByTheQuarantine(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	overflow := replaced(placed("e1", "1"), `"99.99"`, `1e400000`)
	_, err := s.pool.Exec(t.Context(), `SELECT erp_publish($1::text::jsonb)`, overflow)
	require.Equal(t, "22003", codeOf(err), "%v", err)
	_, err = s.pool.Exec(t.Context(), `INSERT INTO commerce_outbox (source, payload) VALUES ('default', convert_to($1, 'UTF8'))`, overflow)
	require.NoError(t, err)
	s.becomes("1", `SELECT count(*)::text FROM commerce_quarantine`)
	require.Equal(t, []string{"refused /order/items/0/price"}, s.read(`SELECT code || ' ' || (problems -> 0 ->> 'pointer') FROM commerce_quarantine`))
}

// Seen: an error of the message's own took the place of the reason, where the client's encoding has not the id's letters.
func TestERPPublishNamesTheReasonInAnyEncoding(t *testing.T) {
	t.Parallel()
	conn, err := testkit.Postgres(t).Pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	_, err = conn.Exec(t.Context(), `SET client_encoding = 'LATIN1'`)
	require.NoError(t, err)
	defer func() { _, _ = conn.Exec(context.WithoutCancel(t.Context()), `RESET client_encoding`) }()
	_, err = conn.Exec(t.Context(), `SELECT erp_publish('{"event_id": "\u6f22", "order": {}}')`)
	require.Equal(t, "22023", codeOf(err), "%v", err)
	require.ErrorContains(t, err, "event ? has no type")
}
