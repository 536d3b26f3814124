package history_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

// A file that loses a field of a history would hide what the field tells from the checker. So every field of every type is
// set, two elements in each list, and must be the same after the round trip.
func TestAFileKeepsEveryFieldOfAHistory(t *testing.T) {
	t.Parallel()
	var h history.History
	n := 0
	fill(t, reflect.ValueOf(&h).Elem(), "History", &n)
	require.Greater(t, n, 100)
	path := filepath.Join(t.TempDir(), "history.json")
	require.NoError(t, h.Save(path))
	loaded, err := history.Load(path)
	require.NoError(t, err)
	require.Equal(t, &h, loaded)
}

// fill gives every field a value that is not zero and differs from the others.
func fill(t *testing.T, v reflect.Value, path string, n *int) {
	t.Helper()
	*n++
	switch value := v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(1_700_000_000+int64(*n), 123_456_789).UTC()))
		return
	case json.RawMessage:
		v.Set(reflect.ValueOf(json.RawMessage(fmt.Sprintf(`{"n":%d}`, *n))))
		return
	case history.SyncRow, history.Gate, history.AlertRow, history.DeliveryRow, map[string]string:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("column"), reflect.ValueOf(fmt.Sprint("value ", *n)))
		return
	default:
		_ = value
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			require.True(t, v.Type().Field(i).IsExported(), "%s.%s is not saved", path, v.Type().Field(i).Name)
			fill(t, v.Field(i), path+"."+v.Type().Field(i).Name, n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(t, v.Index(i), fmt.Sprintf("%s[%d]", path, i), n)
		}
	case reflect.String:
		v.SetString(fmt.Sprint("text ", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint64:
		v.SetUint(uint64(*n) + 1<<63) //nolint:gosec // beyond what a float can hold exactly
	default:
		t.Fatalf("%s: this test fills no %s", path, v.Kind())
	}
}

// A seed and an offset may be larger than a float can hold, and times keep their nanoseconds.
func TestAFileKeepsNumbersAndTimesExactly(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 1, 12, 0, 0, 1, time.UTC)
	h := &history.History{
		Seed: 1<<64 - 1, ThinPartition: -1, Began: at,
		Records: []history.Record{{Offset: 1<<53 + 1, Timestamp: at, Value: json.RawMessage(`{"version":9007199254740993}`)}},
		Table:   []history.SyncRow{{"payload": "{\"a\": \"<&>\\u0000\"}", "next_attempt_at": nil}},
	}
	path := filepath.Join(t.TempDir(), "history.json")
	require.NoError(t, h.Save(path))
	loaded, err := history.Load(path)
	require.NoError(t, err)
	require.Equal(t, h, loaded)
}

func TestSaveReplacesALongerFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "history.json")
	require.NoError(t, (&history.History{Calls: make([]history.Call, 50)}).Save(path))
	require.NoError(t, (&history.History{Seed: 7}).Save(path))
	loaded, err := history.Load(path)
	require.NoError(t, err)
	require.Equal(t, &history.History{Seed: 7}, loaded)
}

// Half a file, and a file of another version, are errors: the checker would find nothing in what is not there.
func TestLoadRefusesWhatItCannotReadWhole(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "history.json")
	require.NoError(t, (&history.History{Calls: make([]history.Call, 3)}).Save(path))
	whole, err := os.ReadFile(path) //nolint:gosec // just written
	require.NoError(t, err)
	for name, content := range map[string][]byte{
		"half of it": whole[:len(whole)/2], "nothing": nil, "an unknown field": []byte(`{"Seed": 1, "Sent": []}`), "an older name": []byte(`{"Requests": [{"What": "sync"}]}`),
	} {
		require.NoError(t, os.WriteFile(path, content, 0o600), name)
		_, err := history.Load(path)
		require.ErrorContains(t, err, path, name)
	}
	_, err = history.Load(filepath.Join(t.TempDir(), "missing.json"))
	require.Error(t, err)
	require.Error(t, (&history.History{}).Save(filepath.Join(t.TempDir(), "no", "folder.json")))
}
