package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// bulk sends a request below /bulk.
func (p *product) bulk(method, path string, body any) (int, map[string]any) {
	p.t.Helper()
	return p.do(method, httpapi.BasePath+"/bulk"+path, body)
}

// startBulk previews a command, and starts its job; it returns the job's path.
func (p *product) startBulk(command string, body map[string]any) (job string, preview map[string]any) {
	p.t.Helper()
	status, preview := p.bulk(http.MethodPost, "/"+command, body)
	require.Equal(p.t, http.StatusOK, status, "%v", preview)
	status, started := p.bulk(http.MethodPost, "/jobs", map[string]any{"token": preview["token"]})
	require.Equal(p.t, http.StatusAccepted, status, "%v", started)
	return fmt.Sprintf("/jobs/%.0f", started["job_id"]), preview
}

// jobIs waits for a job's state.
func (p *product) jobIs(job, state string) (answer map[string]any) {
	p.t.Helper()
	testkit.Eventually(p.t, func() bool {
		_, answer = p.bulk(http.MethodGet, job, nil)
		return answer["state"] == state
	}, "the job is not %s: %v", state, &answer)
	return answer
}

// results are a job's lines.
func (p *product) results(job string) (lines []map[string]any) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.url(httpapi.BasePath+"/bulk"+job+"/results"), nil)
	require.NoError(p.t, err)
	req.Header.Set("Authorization", "Bearer token")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(p.t, err)
	defer func() { _ = resp.Body.Close() }()
	for scanner := bufio.NewScanner(resp.Body); scanner.Scan(); {
		line := map[string]any{}
		require.NoError(p.t, json.Unmarshal(scanner.Bytes(), &line))
		lines = append(lines, line)
	}
	return lines
}

// failedNow waits until so many syncs have failed.
func (p *product) failedNow(n int) {
	p.t.Helper()
	var counts map[string]any
	testkit.Eventually(p.t, func() bool {
		_, counts = p.do(http.MethodGet, httpapi.BasePath+"/syncs/counts?status=failed", nil)
		return counts["total"] == float64(n)
	}, "not %d have failed: %v", n, &counts)
}

// The process that carries a job out dies between an order's command and the next one's. The next process goes on where it was.
func TestABulkJobOutlivesItsProcess(t *testing.T) {
	t.Parallel()
	binary := build(t)
	testkit.OnEmbeddedFirst(t, func(t *testing.T, brokers kafka.Config) {
		c := newCrashCase(t, binary, brokers)
		batch, orders := invoices(12)
		for _, order := range orders {
			c.erp.Fail(mockerp.Fault{Order: order, Status: http.StatusUnprocessableEntity, Times: 1})
		}
		first := c.run("bulk.after_command:5")
		c.listening()
		c.publish(batch)
		c.p.failedNow(len(orders))
		job, _ := c.p.startBulk("resync", map[string]any{"filter": map[string]any{"status": "failed"}, "canary": 0})
		require.Equal(t, syscall.SIGKILL, first.ended(t))
		c.run("")
		c.listening()
		c.p.jobIs(job, "done")
		for _, line := range c.p.results(job) {
			require.InDelta(t, 2, line["generation"], 0, "each got the command once")
		}
		require.Equal(t, len(orders), c.erp.Stats().Bookings)
		require.Zero(t, c.erp.Stats().Doubles)
		for order, facts := range c.log(t) {
			requireOneEndOfEachGeneration(t, order, facts)
		}
		c.p.conserved()
	})
}
