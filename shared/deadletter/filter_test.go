package deadletter_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestWordsSelectDeadLetters(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	letters := []deadletter.Letter{
		{ID: 1, WrittenAt: noon, Topic: "t", Offset: 1, OrderKey: "7", Reason: "no JSON: Unexpected end"},
		{ID: 2, WrittenAt: noon.Add(time.Hour), Topic: "t", Offset: 2, OrderKey: "shop-b/7", Reason: "100%_sure"},
		{ID: 3, WrittenAt: noon.Add(2 * time.Hour), Topic: "u", Offset: 3, OrderKey: "shop-b/8", Reason: "no product"},
		{ID: 4, WrittenAt: noon.Add(26 * time.Hour), Topic: "u", Offset: 4, OrderKey: "shop-bc/9", Reason: "no product"},
	}
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		if err := deadletter.Add(t.Context(), tx, letters, deadletter.WithoutEffect); err != nil {
			return err
		}
		return deadletter.Decide(t.Context(), tx, 3, deadletter.Decision{State: deadletter.Discarded, By: "me", Why: "why", At: noon})
	}))
	for name, c := range map[string]struct {
		words deadletter.Words
		want  []int64
	}{
		"nothing: what is open":    {deadletter.Words{}, []int64{1, 2, 4}},
		"all":                      {deadletter.Words{State: "all"}, []int64{1, 2, 3, 4}},
		"a topic":                  {deadletter.Words{State: "all", Topic: "u"}, []int64{3, 4}},
		"a part of the reason":     {deadletter.Words{Cause: "json: unEXP"}, []int64{1}},
		"no pattern":               {deadletter.Words{Cause: "%"}, []int64{2}},
		"the default shop":         {deadletter.Words{Source: "default"}, []int64{1}},
		"another shop":             {deadletter.Words{State: "all", Source: "shop-b"}, []int64{2, 3}},
		"an order of the default":  {deadletter.Words{Order: "7"}, []int64{1}},
		"an order of another shop": {deadletter.Words{Order: "7", Source: "shop-b"}, []int64{2}},
		"since a time":             {deadletter.Words{Since: "2026-01-01T13:00:00Z"}, []int64{2, 4}},
		"until a day":              {deadletter.Words{Until: "2026-01-02"}, []int64{1, 2}},
		"between":                  {deadletter.Words{State: "all", Since: "2026-01-01T14:00:00+01:00", Until: "2026-01-01T14:00:00Z"}, []int64{2}},
		"all words at once":        {deadletter.Words{State: "discarded", Topic: "u", Cause: "product", Source: "shop-b", Order: "8", Since: "2026-01-01", Until: "2026-01-02"}, []int64{3}},
		"words that fit none":      {deadletter.Words{Topic: "u", Source: "default"}, nil},
	} {
		f, wrong := c.words.Filter()
		require.Empty(t, wrong, name)
		f.Limit = 10
		entries, more, err := deadletter.List(t.Context(), pool, f)
		require.NoError(t, err, name)
		require.False(t, more, name)
		var ids []int64
		for _, e := range entries {
			ids = append(ids, e.ID)
		}
		require.Equal(t, c.want, ids, name)
	}
}

// A word that is misspelt must not select all.
func TestWordsThatSelectNothingAreRefused(t *testing.T) {
	t.Parallel()
	for name, words := range map[string]deadletter.Words{
		"state": {State: "lost"}, "source": {Source: "Shop B"}, "order": {Order: "a\x00"}, "since": {Since: "yesterday"},
		"until": {Since: "2026-01-02", Until: "2026-01-02"},
	} {
		_, wrong := words.Filter()
		require.Len(t, wrong, 1, name)
		require.Equal(t, name, wrong[0].Parameter)
	}
}
