package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/client"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// placedEvent is an event that is accepted.
func placedEvent(eventID, order string) string {
	return fmt.Sprintf(`{"event_id":%q,"type":"order.placed","order":{"order_increment_id":%q,"currency":"EUR",`+
		`"items":[{"sku":"A","name":"A","qty":1,"price":1,"row_total":1}],"totals":{"subtotal":1,"tax":0,"shipping":0,"discount":0,"grand_total":1}}}`, eventID, order)
}

// setAside puts an event into the quarantine, as the drainer does, and returns its id.
func setAside(t *testing.T, pool *pgxpool.Pool, source, code, payload string) (id int64) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), `
		INSERT INTO commerce_quarantine (source, event_id, code, problems, payload, published_at, quarantined_at)
		VALUES ($1, 'e-old', $2, '[{"pointer": "/type", "code": "invalid", "detail": "is old"}]', $3, '2024-01-15T12:30:00+02', '2024-01-15T11:30:00Z')
		RETURNING id`, source, code, []byte(payload)).Scan(&id))
	return id
}

// An operator reads what was refused, page by page, each page of the same list.
func testQuarantineList(t *testing.T, database testkit.Database, env variables) {
	require.Equal(t, "nothing is in the quarantine\n", does(t, env, "quarantine", "list"))
	for range 3 {
		setAside(t, database.Pool, "default", "refused", "{}")
		setAside(t, database.Pool, "outlet", "conflict", "{}")
	}
	all := does(t, env, "quarantine", "list")
	require.Equal(t, "ID  DOOR    SOURCE   EVENT  TRIES  SINCE                REASON\n"+
		"1   outbox  default  e-old  1      2024-01-15 10:30:00  refused: /type is old\n", strings.Join(strings.SplitAfter(all, "\n")[:2], ""))
	require.Equal(t, 7, strings.Count(all, "\n"))
	require.NotContains(t, all, "more")

	var ids []string
	args := []string{"quarantine", "list", "--code", "refused", "--limit", "2"}
	for page := 0; args != nil; page++ {
		require.Less(t, page, 3)
		out := does(t, env, args...)
		require.NotContains(t, out, "outlet")
		args = nil
		for _, line := range strings.Split(strings.TrimSpace(out), "\n")[1:] {
			if next, ok := strings.CutPrefix(line, "there may be more: erpconnector "); ok {
				args = strings.Fields(next)
				continue
			}
			ids = append(ids, strings.Fields(line)[0])
		}
	}
	require.Equal(t, []string{"1", "3", "5"}, ids)
	require.Equal(t, "nothing is in the quarantine\n", does(t, env, "quarantine", "list", "--source", "outlet", "--code", "refused"))
	require.Equal(t, "nothing is in the quarantine\n", does(t, env, "quarantine", "list", "--after", "6"))
}

func testQuarantineShow(t *testing.T, database testkit.Database, env variables) {
	large := `{"a": "` + strings.Repeat("x", 5000) + "\"}"
	small, big := setAside(t, database.Pool, "outlet", "refused", `{"a": "Ä\n"}`), setAside(t, database.Pool, "default", "too_large", large)
	require.Equal(t, `id             1
door           outbox
shop           outlet
event          e-old
published      2024-01-15T10:30:00Z
last refused   2024-01-15T11:30:00Z (1 time)
reason         refused
  /type is old

{
  "a": "Ä\n"
}

To send it again:           erpconnector quarantine send 1
To correct it and send it:  erpconnector quarantine show 1 --payload > event.json
                            erpconnector quarantine send 1 --event event.json
`, does(t, env, "quarantine", "show", fmt.Sprint(small)))
	out := does(t, env, "quarantine", "show", fmt.Sprint(big))
	require.Contains(t, out, "\n… 5009 bytes in all: erpconnector quarantine show 2 --payload\n")
	require.Less(t, len(out), 4700)
	require.Equal(t, large, does(t, env, "quarantine", "show", fmt.Sprint(big), "--payload"), "byte for byte")
	require.Contains(t, does(t, env, "quarantine", "show", fmt.Sprint(small), "-o", "json"), `"event":{"a":"Ä\n"}`)
	p := invoke(t, env, "quarantine", "show", "9")
	require.ErrorContains(t, p.err, "there is no such entry in the quarantine: its event may have been accepted, or it expired. `erpconnector quarantine list` lists them")
	require.Equal(t, 1, p.code())
}

// What is accepted leaves, what is refused stays with the new reason, and what is not there is told by its number.
func testQuarantineSend(t *testing.T, database testkit.Database, env variables) {
	send := func(args ...string) printed {
		return invoke(t, env, append([]string{"quarantine", "send"}, args...)...)
	}
	for i := range 4 {
		setAside(t, database.Pool, "default", "refused", placedEvent(fmt.Sprint("e", i), fmt.Sprint(100+i)))
	}
	bad := setAside(t, database.Pool, "default", "refused", `{"event_id":"bad","type":"order.lost"}`)

	p := send("1")
	require.NoError(t, p.err)
	require.Equal(t, "1  accepted: order 100 is not_synced\n", p.out)

	// One that was named twice was sent, and told as one that is gone.
	p = send("2", "2", "02")
	require.NoError(t, p.err)
	require.Equal(t, "2  accepted: order 101 is not_synced\n", p.out)

	p = send("2", "3", fmt.Sprint(bad))
	require.EqualError(t, p.err, "1 of 3 are not in the quarantine (any more), or are being sent by somebody else\n1 of 2 were refused again and stay in the quarantine")
	require.Equal(t, 1, p.code())
	require.Regexp(t, `^3  accepted: order 102 is not_synced\n5  refused: /\S+ .*\n$`, p.out)
	require.Contains(t, does(t, env, "quarantine", "show", fmt.Sprint(bad)), "(2 times)")

	p = send("--all")
	require.EqualError(t, p.err, "1 of 2 were refused again and stay in the quarantine")
	require.Contains(t, p.out, "4  accepted\n")
	p = send("--all", "--source", "outlet")
	require.NoError(t, p.err, "there are none")
	require.Empty(t, p.out)
	var orders int
	require.NoError(t, database.Pool.QueryRow(t.Context(), `SELECT count(*) FROM sales_order`).Scan(&orders))
	require.Equal(t, 4, orders)
}

// A corrected event takes the place of the refused one only if it is accepted.
func testQuarantineSendCorrected(t *testing.T, database testkit.Database, env variables) {
	id := fmt.Sprint(setAside(t, database.Pool, "default", "refused", "{}"))
	file := filepath.Join(t.TempDir(), "event.json")
	write := func(text string) { require.NoError(t, os.WriteFile(file, []byte(text), 0o600)) }
	for text, want := range map[string]string{
		"":                 "1 of 1 were refused again and stay in the quarantine",
		"no JSON":          "1 of 1 were refused again and stay in the quarantine",
		`{"event_id":"e"}`: "1 of 1 were refused again and stay in the quarantine",
	} {
		write(text)
		p := invoke(t, env, "quarantine", "send", id, "--event", file)
		require.EqualError(t, p.err, want, text)
		require.Contains(t, p.out, id+"  refused: ", text)
		require.Contains(t, does(t, env, "quarantine", "show", id), "(1 time)", "it stands as it was")
	}
	p := invoke(t, env, "quarantine", "send", id, "--event", file+".missing")
	require.ErrorContains(t, p.err, "reading the event: open "+file+".missing")
	write(placedEvent("new", "000000123"))
	require.Equal(t, id+"  accepted: order 000000123 is not_synced\n", does(t, env, "quarantine", "send", id, "--event", file))
	p = invoke(t, env, "quarantine", "send", id, "--event", file)
	require.ErrorContains(t, p.err, "there is no such entry in the quarantine")

	id = fmt.Sprint(setAside(t, database.Pool, "default", "refused", "{}"))
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	stdin := os.Stdin
	os.Stdin = reader
	defer func() { os.Stdin = stdin }()
	_, err = writer.WriteString(placedEvent("piped", "000000124"))
	require.NoError(t, err)
	require.NoError(t, writer.Close())
	require.Equal(t, id+"  accepted: order 000000124 is not_synced\n", does(t, env, "quarantine", "send", id, "--event", "-"), "from a pipe")
}

// What is discarded stays, with who did it and why, and is listed only when it is asked for.
func testQuarantineDiscard(t *testing.T, database testkit.Database, env variables) {
	for range 2 {
		setAside(t, database.Pool, "outlet", "refused", placedEvent("e1", "100"))
	}
	setAside(t, database.Pool, "default", "conflict", "{}")
	require.Equal(t, "1  would be discarded\n2  would be discarded\n", does(t, env, "quarantine", "discard", "--all", "--source", "outlet", "--dry-run"))
	require.Equal(t, "1  would be accepted\n2  would be duplicate\n", does(t, env, "quarantine", "send", "--all", "--source", "outlet", "--dry-run"))
	require.Equal(t, "1  discarded\n", does(t, env, "quarantine", "discard", "1", "--reason", "a test"))
	p := invoke(t, env, "quarantine", "discard", "1", "3", "9", "--reason", "again")
	require.EqualError(t, p.err, "2 of 3 are not open in the quarantine (any more), or are being sent by somebody else")
	require.Equal(t, "3  discarded\n", p.out)
	require.Equal(t, 2, strings.Count(does(t, env, "quarantine", "list"), "\n"))
	require.Equal(t, 3, strings.Count(does(t, env, "quarantine", "list", "--state", "discarded"), "\n"))
	require.Equal(t, 4, strings.Count(does(t, env, "quarantine", "list", "--state", "all", "--text", "IS OLD"), "\n"))
	require.Regexp(t, `\ndiscarded      \S+Z by \S+: a test\n`, does(t, env, "quarantine", "show", "1"))
	require.Equal(t, "2  accepted\n", does(t, env, "quarantine", "send", "--all"), "not the discarded ones")
	require.Equal(t, "1  duplicate: order 100 is not_synced\n", does(t, env, "quarantine", "send", "1"), "by its id a discarded one too")
}

func TestQuarantineReasonsAreShort(t *testing.T) {
	t.Parallel()
	entry := client.QuarantineEntry{Id: 12, Door: "http", Source: "default", EventId: new(strings.Repeat("e", 60)), Tries: 3, Since: "1970-01-01T00:00:00Z", Code: "refused"}
	list := func(wrong ...client.FieldError) string {
		entry.Errors = wrong
		return rows(t, quarantineListing, "table", entry)
	}
	one := client.FieldError{Pointer: new("/a"), Detail: "is wrong"}
	require.Contains(t, list(one), "12  http  default  "+strings.Repeat("e", 39)+"…  3      1970-01-01 00:00:00  refused: /a is wrong\n")
	require.Contains(t, list(one, one, one), "refused: /a is wrong (and 2 more)\n")
	require.Contains(t, list(), "refused:\n")
	require.Contains(t, list(client.FieldError{Detail: strings.Repeat("ë", 200)}), "refused: "+strings.Repeat("ë", 99)+"…\n")
	requireTellsOfAFullDisk(t, func(w io.Writer) error { return printEntry(w, shownEntry{QuarantineEntry: entry}) })
}

func TestShorten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		most int
		want string
	}{{"", 5, ""}, {"abcde", 5, "abcde"}, {"abcdef", 5, "abcd…"}, {"größer", 5, "größ…"}, {"日本語日本", 5, "日本語日本"}, {"a\tb", 10, `a\tb`}, {"\x1b\x1b", 4, `\x1…`}} {
		require.Equal(t, c.want, shorten(c.text, c.most))
	}
}

func TestParseIDs(t *testing.T) {
	t.Parallel()
	for args, want := range map[string][]int64{"": nil, "7": {7}, "3 1 2": {3, 1, 2}, "7 8 7": {7, 8}, "0 -1": {0, -1}} {
		ids, err := parseIDs(strings.Fields(args), "quarantine list")
		require.NoError(t, err)
		require.Equal(t, want, ids)
	}
	for _, arg := range []string{"x", "1.0", "0x10", "9223372036854775808", "1,2", "#7"} {
		_, err := parseIDs([]string{"1", arg}, "deadletter list")
		require.EqualError(t, err, fmt.Sprintf("%q is no id: erpconnector deadletter list shows them", arg))
	}
}

// Each entry has a line, and what went wrong is counted at the end.
func TestWhatWasSentIsTold(t *testing.T) {
	t.Parallel()
	accepted := func(told *toldEntries) {
		told.sent(client.SentEntry{Id: 1, Result: "accepted", OrderIncrementId: new("000000123"), Status: new(client.Status("queued"))})
	}
	refused := func(told *toldEntries) {
		told.result(client.QuarantineBulkResult{Id: 2, Result: "refused", Errors: &[]client.FieldError{{Pointer: new("/type"), Detail: "is wrong"}, {Detail: "more"}}})
	}
	duplicate := func(told *toldEntries) {
		told.result(client.QuarantineBulkResult{Id: 3, Result: "duplicate", OrderIncrementId: new("7")})
	}
	skipped := func(told *toldEntries) { told.result(client.QuarantineBulkResult{Id: 4, Result: "skipped"}) }
	for name, c := range map[string]struct {
		told   toldEntries
		happen []func(*toldEntries)
		out    string
		err    string
	}{
		"nothing": {},
		"well":    {toldEntries{wanted: 2}, []func(*toldEntries){accepted, duplicate}, "1  accepted: order 000000123 is queued\n3  duplicate: order 7\n", ""},
		"one_is_refused": {
			toldEntries{wanted: 2},
			[]func(*toldEntries){accepted, refused},
			"1  accepted: order 000000123 is queued\n2  refused: /type is wrong (and 1 more)\n",
			"1 of 2 were refused again and stay in the quarantine",
		},
		"one_would_be_refused": {toldEntries{dryRun: true}, []func(*toldEntries){refused}, "2  would be refused: /type is wrong (and 1 more)\n", ""},
		"one_is_missing": {
			toldEntries{wanted: 2}, []func(*toldEntries){duplicate}, "3  duplicate: order 7\n", "1 of 2 are not in the quarantine (any more), or are being sent by somebody else",
		},
		"one_is_skipped": {
			toldEntries{open: true},
			[]func(*toldEntries){duplicate, skipped},
			"3  duplicate: order 7\n",
			"1 of 2 are not open in the quarantine (any more), or are being sent by somebody else",
		},
		"all_are_missing": {toldEntries{wanted: 3}, nil, "", "3 of 3 are not in the quarantine (any more), or are being sent by somebody else"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			told := c.told
			told.w = &out
			for _, happens := range c.happen {
				happens(&told)
			}
			err := told.end(nil)
			require.Equal(t, c.out, out.String())
			if c.err == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, c.err)
		})
	}
	requireTellsOfAFullDisk(t, func(w io.Writer) error {
		told := &toldEntries{w: w}
		accepted(told)
		duplicate(told)
		return told.end(nil)
	})
}

// invoiceEvent is an event that requests its order.
func invoiceEvent(eventID, order string) string {
	return strings.Replace(placedEvent(eventID, order), `"type":"order.placed"`, `"type":"invoice.created","invoice":{"increment_id":"i-`+order+`"}`, 1)
}

func itoa(id int64) string { return strconv.FormatInt(id, 10) }
