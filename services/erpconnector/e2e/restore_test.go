package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/services/erpconnector/internal/cli"
	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/checkpoint"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// documentedSQL is the SQL block of docs/deploy.md below a heading or a bold word.
func documentedSQL(t *testing.T, below string) string {
	t.Helper()
	text, err := os.ReadFile(repository + "/docs/deploy.md")
	require.NoError(t, err)
	_, after, found := strings.Cut(string(text), below)
	require.True(t, found, below)
	_, after, _ = strings.Cut(after, "```sql\n")
	sql, _, found := strings.Cut(after, "```")
	require.True(t, found, below)
	return sql
}

func execute(t *testing.T, url, sql string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.PgConn().Exec(ctx, sql).ReadAll()
	require.NoError(t, err, sql)
}

// terminated ends a process in the ordinary way.
func (p *process) terminated(t *testing.T) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	<-p.done
	require.Zero(t, p.cmd.ProcessState.ExitCode())
}

// refuses waits until a process has ended by itself, as going on would lose something.
func (p *process) refuses(t *testing.T) {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(testkit.Patience):
		require.Fail(t, "it went on")
	}
	require.Equal(t, 1, p.cmd.ProcessState.ExitCode())
}

func (c *crashCase) sell(t *testing.T, order string) {
	t.Helper()
	c.publish([]any{invoice("e"+order, order)})
	c.p.becomes(order, ended("success"))
}

// sellAroundABackup sells order 1, copies the database, and sells the others. It returns the copy; the product is stopped.
func (c *crashCase) sellAroundABackup(t *testing.T, after ...string) (earlier string) {
	t.Helper()
	session := c.run("")
	c.listening()
	c.sell(t, "1")
	session.terminated(t)
	earlier = backup(t, c.p.cfg.DatabaseURL)
	session = c.run("")
	c.listening()
	for _, order := range after {
		c.sell(t, order)
	}
	session.terminated(t)
	return earlier
}

func TestADatabaseRestoredToAnEarlierTime(t *testing.T) {
	t.Parallel()
	binary := build(t)
	testkit.OnEmbedded(t, func(t *testing.T, brokers kafka.Config) {
		c := newCrashCase(t, binary, brokers)
		earlier := c.sellAroundABackup(t, "2")

		c.p.cfg.DatabaseURL = earlier
		c.run("").refuses(t)
		c.repaired(t, 2)

		c.run("")
		c.listening()
		c.p.becomes("2", ended("success"))
		c.sell(t, "3")
		calls := c.erp.Stats().Calls
		c.publish([]any{invoice("e2", "2"), invoice("e4", "4")})
		c.p.becomes("4", ended("success"))
		c.p.becomes("2", ended("success"))
		require.Equal(t, calls+1, c.erp.Stats().Calls, "an order that had ended was sent again")
		c.requireBookedOnce(t, 4)
		c.p.conserved()
	})
}

// repaired looks, and mends.
func (c *crashCase) repaired(t *testing.T, lost int) (out string) {
	t.Helper()
	out, err := c.p.command("repair")
	require.Equal(t, 1, cli.ExitCode(err), "%s %v", out, err)
	require.Regexp(t, fmt.Sprintf(` %d  lost here`, lost), out)
	_, err = c.p.command("repair", "--yes")
	require.NoError(t, err)
	out, err = c.p.command("repair")
	require.NoError(t, err, out)
	return out
}

// A copy of the files, put back without recovery: Postgres cannot tell it from the server it was, so ids are given a second
// time, to rows and to syncs, and events are accepted before anybody looks.
func TestADatabaseRestoredInItsPlace(t *testing.T) {
	t.Parallel()
	binary := build(t)
	testkit.OnEmbedded(t, func(t *testing.T, brokers kafka.Config) {
		c := newCrashCase(t, binary, brokers)
		earlier := c.sellAroundABackup(t, "2", "3", "5")

		c.p.cfg.DatabaseURL = earlier
		execute(t, earlier, `SELECT setval('erp_server_seq', hashtextextended(s.system || '/' || s.timeline || '/' || s.database, 0)) FROM erp_server() s`)
		session := c.run("", "ingest")
		c.listening()
		c.publish([]any{invoice("e2", "2"), invoice("e4", "4"), invoice("e6", "6"), invoice("e7", "7")}) // with the ids of 2, 3 and 5, and more
		session.terminated(t)
		c.run("").refuses(t)
		c.repaired(t, 6)

		c.run("")
		c.listening()
		for order := range 7 {
			c.p.becomes(fmt.Sprint(order+1), ended("success"))
		}
		c.sell(t, "8")
		log := c.quiet(t)
		(&failover{crashCase: c}).requireIDsOfTheirOwn(t, log)
		c.requireTableIsLog(t, log)
		c.requireBookedOnce(t, 8)
		c.p.conserved()
	})
}

// Another cluster, as after pg_upgrade or with a wrong DATABASE_URL: nothing is changed without a word more.
func TestARepairOfAnotherClusterNeedsAWordMore(t *testing.T) {
	t.Parallel()
	binary := build(t)
	testkit.OnEmbedded(t, func(t *testing.T, brokers kafka.Config) {
		c := newCrashCase(t, binary, brokers)
		session := c.run("")
		c.listening()
		c.sell(t, "1")
		session.terminated(t)
		at, err := checkpoint.Read(t.Context(), brokers)
		require.NoError(t, err)
		at.System, at.At = "1", time.Now()
		record, err := at.Record()
		require.NoError(t, err)
		record.Topic = brokers.Topic(event.TopicPosition)
		client, err := kgo.NewClient(brokers.Options()...)
		require.NoError(t, err)
		defer client.Close()
		require.NoError(t, client.ProduceSync(t.Context(), record).FirstErr())

		c.run("").refuses(t)
		out, err := c.p.command("repair")
		require.Equal(t, 1, cli.ExitCode(err))
		require.Contains(t, out, "another Postgres cluster")
		_, err = c.p.command("repair", "--yes")
		require.ErrorContains(t, err, "--this-server")
		require.Equal(t, 2, cli.ExitCode(err))
		c.run("").refuses(t)
		_, err = c.p.command("repair", "--yes", "--this-server")
		require.NoError(t, err)
		c.run("")
		c.listening()
		c.sell(t, "2")
		_, err = c.p.command("repair")
		require.ErrorContains(t, err, "a relay works on this database")
		c.p.conserved()
	})
}

// backup is a copy of the database as it stands.
func backup(t *testing.T, database string) string {
	t.Helper()
	at, err := url.Parse(database)
	require.NoError(t, err)
	original := strings.TrimPrefix(at.Path, "/")
	server := *at
	server.Path = "/postgres"
	execute(t, server.String(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+original+"'")
	execute(t, server.String(), "CREATE DATABASE "+original+"_b TEMPLATE "+original)
	t.Cleanup(func() { execute(t, server.String(), "DROP DATABASE "+original+"_b WITH (FORCE)") })
	at.Path += "_b"
	return at.String()
}

func TestKafkaWasLost(t *testing.T) {
	t.Parallel()
	binary := build(t)
	testkit.OnEmbedded(t, func(t *testing.T, brokers kafka.Config) {
		c := newCrashCase(t, binary, brokers)
		session := c.run("")
		c.listening()
		c.sell(t, "1")
		c.erp.Fail(mockerp.Fault{Order: "2", Status: http.StatusServiceUnavailable, Times: 2},
			mockerp.Fault{Order: "2", Status: http.StatusInternalServerError, RetryAfter: "3600", Times: 1})
		c.publish([]any{invoice("e2", "2")})
		c.p.becomes("2", func(s map[string]any) bool { return s["attempts"] == 3.0 && s["next_attempt_at"] != nil })
		c.erp.Fail(mockerp.Fault{Order: "4", Status: http.StatusInternalServerError, RetryAfter: "3600", Times: 1})
		c.publish([]any{invoice("e4", "4")})
		c.p.becomes("4", func(s map[string]any) bool { return s["attempts"] == 1.0 && s["next_attempt_at"] != nil })
		c.p.accepts("4", "ERP-4") // its terminal event would come with the retry
		c.p.becomes("4", ended("success"))
		session.terminated(t)

		brokers.Prefix += "new." // topics of another name are a cluster that has forgotten everything
		c.p.cfg.TopicPrefix = brokers.Prefix
		c.run("").refuses(t) // there are no topics
		said, err := c.topics("ensure", "--reset-missing-offsets")
		require.NoError(t, err, said)
		require.Contains(t, said, "warning: the projection has read more than the log holds")
		c.run("").refuses(t) // the projection is ahead of the log
		execute(t, c.p.cfg.DatabaseURL, documentedSQL(t, "### Kafka was lost"))

		c.run("")
		c.listening()
		c.p.becomes("2", ended("success"))
		c.sell(t, "3")
		c.p.consumed(event.GroupSyncer, event.TopicRequested, 4)
		require.Equal(t, map[domain.Version]int{domain.RequestVersion(1, 0): 1}, endsOf(c.log(t)["4"]), "what was settled and had not ended ends")
		require.Equal(t, "ERP-4", c.p.becomes("4", stands("success"))["erp_reference"])
		require.NotNil(t, c.p.becomes("1", ended("success"))["erp_reference"], "what had ended keeps its row")
		require.Len(t, c.erp.Calls("1"), 1, "what had ended is not called again")
		c.requireBookedOnce(t, 3)
	})
}

func (c *crashCase) requireBookedOnce(t *testing.T, orders int) {
	t.Helper()
	require.Equal(t, orders, c.erp.Stats().Bookings)
	require.Zero(t, c.erp.Stats().Doubles)
}

// The services run with the rights that docs/deploy.md gives their role, and no more.
func TestTheServicesNeedTheDocumentedRightsOnly(t *testing.T) {
	testkit.OnEmbedded(t, func(t *testing.T, brokers kafka.Config) {
		cfg := configured(t, brokers)
		at, err := url.Parse(cfg.DatabaseURL)
		require.NoError(t, err)
		owner, role := cfg.DatabaseURL, "erp_"+strings.TrimPrefix(at.Path, "/")
		execute(t, owner, "CREATE ROLE "+role+" LOGIN")
		t.Cleanup(func() { execute(t, owner, "DROP OWNED BY "+role+"; DROP ROLE "+role) })
		execute(t, owner, regexp.MustCompile(`\berp\b`).ReplaceAllString(documentedSQL(t, "**Rights.**"), role))
		at.User = url.User(role)
		cfg.DatabaseURL = at.String()
		require.NoError(t, cli.RequireMigrated(t.Context(), cfg))
		flow(t, start(t, cfg))
	})
}
