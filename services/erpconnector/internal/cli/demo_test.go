package cli

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/erpconnector/internal/demo"
	"github.com/erpconnector/erpconnector/shared/config"
)

// usual are the flags as they are when nobody gives one.
func usual() demoFlags {
	return demoFlags{Options: demo.Options{Rate: 5, Misbehave: 0.15, Wait: 30 * time.Second, URL: "http://127.0.0.1:1"}, duration: time.Minute}
}

// Every flag has its limits, and all that is wrong is said at once.
func TestDemoFlagsHaveLimits(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(f *demoFlags){
		"": func(*demoFlags) {},
		"--rate is 0; it must be from 0.01 to 1000":        func(f *demoFlags) { f.Rate = 0 },
		"--rate is 1001; it must be from 0.01 to 1000":     func(f *demoFlags) { f.Rate = 1001 },
		"--rate is NaN; it must be from 0.01 to 1000":      func(f *demoFlags) { f.Rate = math.NaN() },
		"--misbehave is -0.1; it must be from 0 to 1":      func(f *demoFlags) { f.Misbehave = -0.1 },
		"--misbehave is NaN; it must be from 0 to 1":       func(f *demoFlags) { f.Misbehave = math.NaN() },
		"--orders is -1; it must be from 0 to 99999":       func(f *demoFlags) { f.Orders = -1 },
		"--orders is 100000; it must be from 0 to 99999":   func(f *demoFlags) { f.Orders = 100_000 },
		"--duration is -1s; it must be from 0s to 24h0m0s": func(f *demoFlags) { f.duration = -time.Second },
		"--wait is 2h0m0s; it must be from 0s to 1h0m0s":   func(f *demoFlags) { f.Wait = 2 * time.Hour },
		"give --orders or --duration":                      func(f *demoFlags) { f.duration = 0 },
		"--rate is 0; it must be from 0.01 to 1000\n--wait is -1s; it must be from 0s to 1h0m0s\ngive --orders or --duration": func(f *demoFlags) {
			f.Rate, f.Wait, f.duration = 0, -time.Second, 0
		},
	} {
		f := usual()
		change(&f)
		err := f.complete(WithEnvironment(t.Context(), variables{"DATA_DIR": t.TempDir()}.lookup))
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.EqualError(t, err, want)
	}
}

// As many events are published as the duration holds; --orders alone publishes these to the end.
func TestHowManyEventsADemoPublishes(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]int{
		"":                          300, // a minute of 5 a second
		"--duration 10s":            50,
		"--duration 1ms":            1,
		"--duration 10s --rate 0.3": 3,
	} {
		p := invoke(t, variables{"DATA_DIR": t.TempDir()}, append([]string{"demo", "--print", "--seed", "1"}, strings.Fields(args)...)...)
		require.NoError(t, p.err)
		require.Equal(t, want, strings.Count(p.out, "\n"), args)
	}
	few := does(t, nil, "demo", "--print", "--seed", "1", "--orders", "2")
	require.Equal(t, 2, strings.Count(few, `"type":"order.placed"`))
	require.Equal(t, few, does(t, nil, "demo", "--print", "--seed", "1", "--orders", "2"), "a seed repeats its events")
	require.NotEqual(t, few, does(t, nil, "demo", "--print", "--orders", "2"), "without one they are new ones")
	both := does(t, nil, "demo", "--print", "--seed", "1", "--orders", "2", "--duration", "1s", "--rate", "1")
	require.Equal(t, few[:strings.Index(few, "\n")+1], both, "what ends first")
	for line := range strings.Lines(few) {
		require.True(t, json.Valid([]byte(line)), line)
	}
}

// The connector and its token are found where `up` on this machine has them, unless they are named.
func TestWhereADemoFindsItsConnector(t *testing.T) {
	t.Parallel()
	dir, quoted := t.TempDir(), filepath.Join(t.TempDir(), "it's here")
	require.NoError(t, os.Mkdir(quoted, 0o700))
	for _, d := range []string{dir, quoted} {
		require.NoError(t, os.WriteFile(filepath.Join(d, TokenFile), []byte("of-up\n"), 0o600))
	}
	file := filepath.Join(dir, "mine")
	require.NoError(t, os.WriteFile(file, []byte("of-a-file"), 0o600))
	for name, c := range map[string]struct {
		url   string
		env   variables
		at    string
		token config.Secret
		from  string
		shell string
	}{
		"up":                  {"", variables{"DATA_DIR": dir}, "http://127.0.0.1:8080", "of-up", filepath.Join(dir, TokenFile), "$(cat " + shellWord(filepath.Join(dir, TokenFile)) + ")"},
		"up_with_a_quote":     {"", variables{"DATA_DIR": quoted}, "http://127.0.0.1:8080", "of-up", filepath.Join(quoted, TokenFile), "$(cat " + shellWord(filepath.Join(quoted, TokenFile)) + ")"},
		"up_at_another_port":  {"", variables{"DATA_DIR": dir, "HTTP_ADDR": "127.0.0.1:99"}, "http://127.0.0.1:99", "of-up", filepath.Join(dir, TokenFile), "$(cat " + shellWord(filepath.Join(dir, TokenFile)) + ")"},
		"a_token":             {"https://host/", variables{"API_TOKEN": "mine", "DATA_DIR": dir}, "https://host", "mine", "API_TOKEN", "$API_TOKEN"},
		"a_file_with_a_token": {"host:99//", variables{"API_TOKEN_FILE": file}, "http://host:99", "of-a-file", "API_TOKEN_FILE", `$(cat "$API_TOKEN_FILE")`},
		"no_token_at_all":     {"host", variables{"DATA_DIR": "/nowhere"}, "http://host", "", "API_TOKEN is not set, and there is no " + filepath.Join("/nowhere", TokenFile), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := usual()
			f.URL = c.url
			require.NoError(t, f.reach(WithEnvironment(t.Context(), c.env.lookup)))
			require.Equal(t, []any{c.at, c.token, c.from, c.shell}, []any{f.URL, f.Token, f.TokenFrom, f.TokenShell})
		})
	}
	broken := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(broken, TokenFile), []byte("two\nlines"), 0o600))
	f := usual()
	require.ErrorContains(t, f.reach(WithEnvironment(t.Context(), variables{"DATA_DIR": broken}.lookup)), "reading the token of `up`: ")
	require.ErrorContains(t, f.reach(WithEnvironment(t.Context(), variables{"DATA_DIR": broken}.lookup)), "; set API_TOKEN instead")
	require.ErrorContains(t, f.reach(WithEnvironment(t.Context(), variables{"API_TOKEN_FILE": broken + "/missing"}.lookup)), "API_TOKEN_FILE: ")
}

func TestADemoWithoutAConnector(t *testing.T) {
	t.Parallel()
	p := invoke(t, variables{"DATA_DIR": t.TempDir()}, "demo", "--url", "127.0.0.1:1")
	require.ErrorContains(t, p.err, "nothing listens at http://127.0.0.1:1: start `")
	require.Equal(t, 1, p.code())
	denying := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	defer denying.Close()
	p = invoke(t, variables{"DATA_DIR": t.TempDir()}, "demo", "--url", denying.URL)
	require.ErrorContains(t, p.err, "there is no token: API_TOKEN is not set, and there is no ")

	var out bytes.Buffer
	cmd := Root()
	cmd.SetArgs([]string{"demo", "--print", "--orders", "99999"})
	cmd.SetOut(&out)
	require.ErrorIs(t, cmd.ExecuteContext(WithEnvironment(stopped(t), variables{}.lookup)), stopped(t).Err(), "Ctrl-C ends it")
	require.Less(t, strings.Count(out.String(), "\n"), 2)
}

func TestWithScheme(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"localhost:8080": "http://localhost:8080", "http://a/": "http://a", "https://a/b//": "https://a/b", "127.0.0.1": "http://127.0.0.1", "[::1]:80/": "http://[::1]:80",
	} {
		require.Equal(t, want, withScheme(url))
	}
}
