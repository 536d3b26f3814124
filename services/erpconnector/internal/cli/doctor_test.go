package cli

import (
	"bytes"
	"encoding/json"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/erpconnector/internal/doctor"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestDoctorNamesWhatIsAway(t *testing.T) {
	t.Parallel()
	p := invoke(t, variables{"DATABASE_URL": "postgres://127.0.0.1:1/erp", "KAFKA_BROKERS": "127.0.0.1:1"}, "doctor")
	require.EqualError(t, p.err, "something is wrong: see above")
	require.Equal(t, 1, p.code())
	require.Contains(t, p.out, "FAIL  schema       nothing listens at 127.0.0.1:1: start Postgres there, or name another address in DATABASE_URL")
	require.Contains(t, p.out, "FAIL  kafka        nothing listens at 127.0.0.1:1: start Kafka there, or name another address in KAFKA_BROKERS")
}

// Of an environment that lacks a server, the other one is examined all the same.
func TestDoctorExaminesWhatIsThere(t *testing.T) {
	t.Parallel()
	p := invoke(t, variables{"DATABASE_URL": testkit.Postgres(t).URL}, "doctor", "-o", "json")
	require.Error(t, p.err)
	var findings []doctor.Finding
	require.NoError(t, json.Unmarshal([]byte(p.out), &findings))
	said := map[string]doctor.Finding{}
	for _, f := range findings {
		said[f.Check] = f
	}
	require.Contains(t, said["environment"].Said, "KAFKA_BROKERS is not set")
	require.Equal(t, doctor.OK, said["schema"].Level)
	require.Equal(t, doctor.OK, said["clock"].Level)
	require.NotContains(t, said, "relay")
}

func TestFindingsAreATable(t *testing.T) {
	t.Parallel()
	findings := []doctor.Finding{{Check: "postgres", Level: doctor.OK, Said: "well"}, {Check: "erp", Level: doctor.Fail, Said: "away \x1b[2J", Do: "start it"}}
	var out bytes.Buffer
	out.WriteString(findingsText(findings))
	require.Equal(t, "ok    postgres  well\nFAIL  erp       away \\x1b[2J\n                → start it\n", out.String())
}

func TestConfigCheckPrintsWhatIsSet(t *testing.T) {
	t.Parallel()
	p := invoke(t, variables{"DATABASE_URL": "postgres://user:hidden@db/erp", "API_TOKEN_FILE": "/no/file", "ERP_TIMEOUT": "fast", "LOG_LEVEL": "debug"}, "config", "check")
	require.Equal(t, "DATABASE_URL     (secret)\nAPI_TOKEN_FILE   /no/file\nLOG_LEVEL        debug\nERP_TIMEOUT      fast\n", p.out)
	require.ErrorContains(t, p.err, `ERP_TIMEOUT is "fast"; it must be a duration`)
	require.ErrorContains(t, p.err, "API_TOKEN_FILE: ")
	require.NotContains(t, p.err.Error(), "hidden")
}

func TestVersion(t *testing.T) {
	t.Parallel()
	require.Regexp(t, `^erpconnector .*, built with go1\.`, does(t, nil, "version"))
	var b build
	require.NoError(t, json.Unmarshal([]byte(does(t, nil, "version", "-o", "json")), &b))
	require.NotEmpty(t, b.Go)
	info := &debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Version: "v1.2.0"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "36e0ced0123456789"}, {Key: "vcs.time", Value: "2026-11-29T23:00:00Z"}, {Key: "vcs.modified", Value: "true"},
	}}
	require.Equal(t, "erpconnector v1.2.0 36e0ced01234 with changes of 2026-11-29T23:00:00Z, built with go1.26.8", buildOf(info).String())
	require.Equal(t, "unknown", buildOf(nil).Version)
}
