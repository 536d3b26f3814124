package gate

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func body(text string) [sha256.Size]byte { return sha256.Sum256([]byte(text)) }

func hear(t *testing.T, pool *pgxpool.Pool, c Callback) (known domain.Heard, heardIn int) {
	t.Helper()
	inTx(t, pool, func(tx pgx.Tx) {
		var err error
		known, heardIn, err = Hear(t.Context(), tx, c)
		require.NoError(t, err)
	})
	return known, heardIn
}

func TestACallbackIsRemembered(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	save(t, pool, open(plain, 1, 2))
	keep := func(c Callback, generation, referenceOf int) {
		inTx(t, pool, func(tx pgx.Tx) { require.NoError(t, Keep(t.Context(), tx, c, generation, referenceOf, now)) })
	}
	c := Callback{Key: plain.Key(), Body: body("one"), Reference: new("ERP-1")}
	known, heardIn := hear(t, pool, c)
	require.Equal(t, domain.Heard{}, known)
	require.Zero(t, heardIn)
	keep(c, 1, 1)
	known, heardIn = hear(t, pool, c)
	require.Equal(t, domain.Heard{Before: true, References: 1}, known)
	require.Equal(t, 1, heardIn)
	keep(c, 2, 1)
	_, heardIn = hear(t, pool, c)
	require.Equal(t, 2, heardIn, "it came once more, after a resync")

	same := Callback{Key: plain.Key(), Body: body("two"), Reference: new("ERP-1")}
	known, _ = hear(t, pool, same)
	require.Equal(t, domain.Heard{References: 1}, known, "another body with the reference")
	other := Callback{Key: slashed.Key(), Body: body("one"), Reference: new("ERP-1")}
	known, _ = hear(t, pool, other)
	require.Equal(t, domain.Heard{}, known, "another order")
	foreign := Callback{Key: plain.Key(), Body: body("three"), Reference: new("ERP-3")}
	keep(foreign, 2, 0)
	known, _ = hear(t, pool, foreign)
	require.Equal(t, domain.Heard{Before: true}, known, "a reference of no generation is not known")
}

// A gate that an answer closes stands with the answer's reference, whichever generation the gate has by then.
func TestTheReferencesOfAnswersAreKept(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	first, third := open(plain, 1, 1), open(plain, 1, 3)
	save(t, pool, first, open(slashed, 2, 1))
	references := func(reference string) int {
		known, _ := hear(t, pool, Callback{Key: plain.Key(), Body: body("any"), Reference: &reference})
		return known.References
	}
	answer := func(g domain.Gate, reference string) GenerationEnd {
		e := ending(g, domain.ClosedByAnswer)
		e.Reference = &reference
		return e
	}
	require.Empty(t, end(t, pool, answer(first, "ERP-1"), answer(open(slashed, 2, 1), "ERP-9")))
	require.Equal(t, 1, references("ERP-1"))
	require.Zero(t, references("ERP-9"), "another order's")

	save(t, pool, third)
	late, long := answer(open(plain, 1, 2), "ERP-2"), answer(open(plain, 1, 2), strings.Repeat("9", 60<<10))
	late.By = "" // an answer to a generation that ended otherwise
	require.Empty(t, end(t, pool, late, long))
	require.Equal(t, 2, references("ERP-2"))
	require.Equal(t, 2, references(*long.Reference), "an ERP may call it what it likes")
	require.Equal(t, domain.GateOpen, read(t, pool, plain).State)

	require.Empty(t, end(t, pool, answer(third, "ERP-1"), answer(first, "ERP-1")))
	require.Equal(t, 3, references("ERP-1"), "the ERP answered the newest with the booking it has")
	require.Empty(t, end(t, pool, answer(first, "ERP-1")))
	require.Equal(t, 3, references("ERP-1"), "told late")
}

func TestTheReferenceOfAnAnswerThatMetALockedGateIsKept(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	g, other := open(plain, 1, 1), open(slashed, 3, 1)
	save(t, pool, g, other)
	e, hand := ending(g, domain.ClosedByAnswer), GenerationEnd{Key: plain.Key(), Generation: 1, Reference: new("HAND-1")}
	e.Reference = new("ERP-1")
	free := ending(other, domain.ClosedByAnswer)
	free.Reference = new("ERP-2")
	endings := []GenerationEnd{e, e, hand, free}
	inTx(t, pool, func(holder pgx.Tx) {
		lock(t, holder, plain)
		require.Equal(t, []string{plain.Key()}, end(t, pool, endings...))
	})
	for reference, generation := range map[string]int{"ERP-1": 1, "HAND-1": 1, "ERP-2": 0} {
		known, _ := hear(t, pool, Callback{Key: plain.Key(), Body: body("any"), Reference: &reference})
		require.Equal(t, generation, known.References, reference)
	}
}

// An order that was sent before references were kept is known by its row.
func TestTheReferenceOfTheRowIsKnown(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	save(t, pool, open(plain, 1, 2))
	_, err := pool.Exec(t.Context(), `
		INSERT INTO vendor_erp_sync (sync_id, order_increment_id, status, attempts, max_attempts, erp_reference, idempotency_key,
			created_at, updated_at, source, generation, attempt_version, attempt_version_at, version, version_at, reference_version)
		VALUES (1, '000000123', 'queued', 0, 5, 'ERP-1', 'ERP_a', now(), now(), 'default', 2, $2, now(), $2, now(), $1)`,
		domain.AttemptVersion(1, 1, domain.PhaseTerminal), domain.RequestVersion(2, 0))
	require.NoError(t, err)
	for reference, generation := range map[string]int{"ERP-1": 1, "ERP-2": 0} {
		known, _ := hear(t, pool, Callback{Key: plain.Key(), Body: body("any"), Reference: &reference})
		require.Equal(t, generation, known.References, reference)
	}
}
