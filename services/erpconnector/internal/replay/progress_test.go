package replay

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka/logreader"
)

func someProgress() *Progress {
	return &Progress{
		Range:  Range{From: time.Date(2024, 1, 15, 10, 0, 0, 5, time.UTC), Topics: []string{event.TopicSuccess, event.TopicFailed}},
		Target: "warehouse",
		Spans:  []*logreader.Span{{Topic: event.TopicSuccess, First: 10, Next: 15, End: 30}, {Topic: event.TopicFailed, Partition: 3, First: 0, Next: 0, End: 0}},
	}
}

// What was kept is found again, and the file is whole whenever a stop comes.
func TestProgressIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "positions.json")
	want := someProgress()
	require.NoError(t, want.Save(file))
	got, err := Load(file)
	require.NoError(t, err)
	require.Equal(t, want, got)
	read, all := got.Done()
	require.Equal(t, []int64{5, 20}, []int64{read, all})

	want.Spans[0].Next = 30
	require.NoError(t, want.Save(file), "over the one before")
	got, err = Load(file)
	require.NoError(t, err)
	require.Equal(t, want, got)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1, "no temporary file stays")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.True(t, bytes.HasSuffix(text, []byte("\n")))

	below := filepath.Join(dir, "folder")
	require.NoError(t, os.Mkdir(below, 0o700))
	require.ErrorContains(t, want.Save(below), "keeping the positions: ", "a folder has the name")
	left, err = os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 2, "no temporary file stays after a failure")
}

// A file of something else, or an edited one, crashed the command, or let it wait for records that never come.
func TestPositionsThatAreNone(t *testing.T) {
	t.Parallel()
	whole, err := json.Marshal(someProgress())
	require.NoError(t, err)
	for name, c := range map[string]struct{ text, want string }{
		"empty":                {"", "unexpected end of JSON input"},
		"cut_off":              {string(whole[:len(whole)/2]), "unexpected end of JSON input"},
		"a_list":               {"[1]", "cannot unmarshal array"},
		"another_object":       {`{"name": "x"}`, "no topic is named"},
		"null":                 {"null", "no topic is named"},
		"a_span_that_is_null":  {strings.Replace(string(whole), `"spans":[{`, `"spans":[null,{`, 1), "a span is null"},
		"another_topic":        {strings.Replace(string(whole), `{"topic":"vendor_erp_sync_success"`, `{"topic":"mails"`, 1), `a span is of "mails", which the range does not name`},
		"a_topic_that_is_none": {strings.ReplaceAll(string(whole), "vendor_erp_sync_success", "mails"), `"mails" is no topic of the log`},
		"backwards":            {strings.Replace(string(whole), `"next":15`, `"next":9`, 1), "the span of vendor_erp_sync_success partition 0 goes from 10 by 9 to 30"},
		"beyond_its_end":       {strings.Replace(string(whole), `"next":15`, `"next":31`, 1), "goes from 10 by 31 to 30"},
		"before_the_log":       {strings.Replace(string(whole), `"first":10`, `"first":-1`, 1), "goes from -1 by 15 to 30"},
		"a_partition_below_0":  {strings.Replace(string(whole), `"partition":3`, `"partition":-3`, 1), "partition -3 goes"},
		"a_range_that_is_none": {strings.Replace(string(whole), `"to":"0001`, `"to":"2001`, 1), "is not after its start"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "positions.json")
			require.NoError(t, os.WriteFile(file, []byte(c.text), 0o600))
			_, err := Load(file)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, file+" holds no positions of a replay (")
			require.ErrorContains(t, err, "): name another file, or delete it to begin anew")
		})
	}
	_, err = Load(t.TempDir())
	require.ErrorContains(t, err, "reading the positions: ")
}

// Only the same question goes on; any other would leave records out.
func TestOnlyTheSameReplayGoesOn(t *testing.T) {
	t.Parallel()
	p := someProgress()
	elsewhere := p.Range
	elsewhere.From = elsewhere.From.In(time.FixedZone("", 3600))
	require.NoError(t, p.Continues(elsewhere, "warehouse"), "the same moment")
	for name, change := range map[string]func(r *Range, target *string){
		"another_start":  func(r *Range, _ *string) { r.From = r.From.Add(time.Nanosecond) },
		"an_end":         func(r *Range, _ *string) { r.To = r.From.Add(time.Hour) },
		"fewer_topics":   func(r *Range, _ *string) { r.Topics = r.Topics[:1] },
		"no_topics":      func(r *Range, _ *string) { r.Topics = nil },
		"another_order":  func(r *Range, _ *string) { r.Topics = []string{r.Topics[1], r.Topics[0]} },
		"another_target": func(_ *Range, target *string) { *target = "mails" },
		"no_target":      func(_ *Range, target *string) { *target = "" },
	} {
		r, target := p.Range, p.Target
		change(&r, &target)
		require.ErrorContains(t, p.Continues(r, target), "it holds the positions of another replay (its range, topics and target stand in it): ask as then, or name another file", name)
	}
}

func TestWhichRangesCanBe(t *testing.T) {
	t.Parallel()
	at := time.Date(2024, 1, 15, 10, 0, 0, 0, time.UTC)
	log := LogTopics()
	require.Contains(t, log, event.TopicSalesOrder)
	require.NotContains(t, log, event.TopicDue, "what waits is not the log")
	for want, r := range map[string]Range{
		"": {From: at, Topics: log},
		"no topic is named; there are sales_order_event, ":                     {From: at}, // read all topics of the cluster, and cut the prefix off their names
		"the range ends at 2024-01-15T10:00:00Z, which is not after its start": {From: at, To: at, Topics: log},
		"the range ends at 2024-01-15T09:00:00Z, which is not after its start": {From: at, To: at.Add(-time.Hour), Topics: log},
		`"" is no topic of the log`:                                            {From: at, Topics: []string{""}},
		`"a.vendor_erp_sync_success" is no topic of the log`:                   {From: at, Topics: []string{"a." + event.TopicSuccess}},
	} {
		err := r.Validate()
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, want)
	}
	require.NoError(t, Range{Topics: log, To: at}.Validate(), "from the beginning of all")
	require.Zero(t, sinceEpoch(time.Time{}), "a negative number asks for something else")
	require.EqualValues(t, 1500, sinceEpoch(time.UnixMilli(1500)))
	require.Equal(t, []string{"a", "b"}, names(map[string]bool{"b": true, "a": false}))
}
