package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/bulk"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// bulkJobs writes three jobs: one runs, one was paused by its canary, one of the shop outlet is done.
func (c *caller) bulkJobs() {
	c.t.Helper()
	for _, row := range []string{
		`'resync', false, 'the catalogue is mended', NULL, '{"status": "failed", "error": "no such sku"}', 10, 'passed', 'running', 'the 10 orders that must succeed first have succeeded', 'scheduler', NULL, 1001, 100, 400, 1, 2, 403`,
		`'resync', true, 'the ERP lost them', NULL, NULL, 3, 'failed', 'paused', 'of the 3 orders that must succeed first, 1 failed; look at the results, then resume or stop the job', 'scheduler', NULL, 20, 0, 2, 1, 0, 0`,
		`'settle', false, 'booked by hand', 'outlet', '{"source": "outlet"}', 0, 'none', 'done', 'all orders have come to their end', 'scheduler', timestamptz '2024-01-15 10:31:00Z', 3, 0, 2, 0, 1, 0`,
	} {
		c.exec(`INSERT INTO bulk_job (command, new_key, reason, source, words, canary, canary_is, state, why, changed_by, ended_at, selected, sent, succeeded, failed, refused, done_then, since, created_at, created_by)
			VALUES (` + row + `, timestamptz '2024-01-15 10:30:00Z', timestamptz '2024-01-15 10:29:00Z', 'jane')`)
	}
	c.exec(`INSERT INTO bulk_item (job_id, place, sync_id, source, order_increment_id, result, generation, code) VALUES
		(2, 1, 1, 'default', '000000123', 'failed', 2, NULL), (2, 2, 3, 'default', '000000124', 'waiting', NULL, NULL), (2, 3, 4, 'default', '000000125', 'refused', 1, 'order_success')`)
}

func TestBulkGolden(t *testing.T) {
	t.Parallel()
	for name, story := range map[string]func(c *caller){
		"bulk_jobs": func(c *caller) {
			c.listed()
			c.bulkJobs()
			c.Whole = true
			c.get("bulk/jobs?limit=2")
			c.get("bulk/jobs?state=running")
			c.get("bulk/jobs/3")
			c.Note("what became of each order, a line each; after a line that broke off, from its cursor on")
			c.get("bulk/jobs/2/results")
			c.get("bulk/jobs/2/results?cursor=1&result=refused")
			c.get("bulk/jobs/9")
			c.get("bulk/jobs/99999999999999999999/results")
			c.get("bulk/jobs?state=lost&limit=0&cursor=x")
			c.get("bulk/jobs/2/results?result=good")
		},
		"bulk_asked_wrongly": func(c *caller) {
			c.post("bulk/resync", `{}`)
			c.post("bulk/resync", `{"filter": {}}`)
			c.post("bulk/resync", `{"filter": {"stauts": "failed"}, "reasn": "why"}`)
			c.post("bulk/resync", `{"filter": {"status": "lost", "order_id": "x", "source": "", "error": "", "http_status": 20, "created_since": "yesterday"}}`)
			c.post("bulk/resync", `{"filter": {"status": {"is": "failed"}, "attempts_from": true}}`)
			c.post("bulk/resync", `{"filter": {"status": "failed", "limit": 10}, "sync_ids": [1], "newKey": true, "canary": 1001}`)
			c.post("bulk/cancel", `{"filter": {"status": ["failed", "queued"]}, "newKey": true, "canary": 1}`)
			c.post("bulk/settle", `{"sync_ids": [1, "two"], "reason": "why"}`)
			c.post("bulk/settle", `{"sync_ids": [`+strings.Repeat("1,", bulk.MaxSyncIDs)+`1], "reason": "why"}`)
			c.post("bulk/jobs", `{}`)
			c.post("bulk/jobs", `{"token": "bulk_guess"}`)
			c.post("bulk/jobs/1/pause", `{"reason": "a\nb"}`)
			c.post("bulk/jobs/1/stop", ``)
		},
		"bulk_postgres_away": func(c *caller) {
			c.pool.Close()
			c.post("bulk/resync", `{"filter": {"status": "failed"}}`)
			c.post("bulk/jobs", `{"token": "bulk_guess"}`)
			c.post("bulk/jobs/1/stop", ``)
			for _, path := range []string{"bulk/jobs", "bulk/jobs/1", "bulk/jobs/1/results"} {
				c.get(path)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(setup(t, name))
		})
	}
}

// runJobs carries out what was started, until there is nothing more to do.
func (o *office) runJobs() {
	o.t.Helper()
	r := bulk.NewRunner(o.pool, setting.Fixed(setting.Defaults()), slog.New(slog.DiscardHandler), func(bulk.Command, bulk.Result, int) {})
	for {
		step, err := r.Step(context.Background())
		require.NoError(o.t, err)
		if !step.More {
			return
		}
	}
}

// failed writes an order that has failed, with its gate.
func (o *office) failed(ref domain.OrderRef, syncID int64) {
	o.t.Helper()
	g := open(ref, syncID)
	g.State, g.ClosedBy = domain.GateClosed, domain.ClosedByFailure
	o.accepted(g)
}

func (o *office) preview(token, path, body string) (p bulkPreview) {
	o.t.Helper()
	require.Equal(o.t, http.StatusOK, o.ask(token, http.MethodPost, "/bulk/"+path, body, &p))
	return p
}

func (o *office) startJob(token, preview string) (j bulkJob) {
	o.t.Helper()
	require.Equal(o.t, http.StatusAccepted, o.ask(token, http.MethodPost, "/bulk/jobs", fmt.Sprintf(`{"token": %q}`, preview), &j))
	return j
}

func TestABulkResyncFromPreviewToResults(t *testing.T) {
	t.Parallel()
	o := opened(t)
	o.listed()
	o.failed(order, 1)
	o.failed(domain.OrderRef{Source: "outlet", IncrementID: "000000123"}, 2)
	p := o.preview("first", "resync", `{"filter": {"status": ["failed", "success"]}, "reason": "the catalogue is mended", "canary": 1}`)
	require.EqualValues(t, 3, p.Orders)
	require.Equal(t, []bulkRefused{{"order_not_found", 1}}, p.Refused)
	require.Equal(t, 1, p.Canary)
	require.Len(t, p.Sample, 3)
	require.Equal(t, 10, o.preview("first", "resync", `{"filter": {"status": "failed"}}`).Canary, "by the setting")
	require.Zero(t, o.preview("first", "settle", `{"filter": {"status": "failed"}, "reason": "why"}`).Canary)

	j := o.startJob("first", p.Token)
	require.Equal(t, http.StatusNotFound, o.ask("first", http.MethodPost, "/bulk/jobs", fmt.Sprintf(`{"token": %q}`, p.Token), nil))
	require.Equal(t, bulk.Words{"status": "failed,success"}, j.Filter)
	o.runJobs()
	require.Equal(t, http.StatusOK, o.ask("first", http.MethodGet, fmt.Sprintf("/bulk/jobs/%d", j.ID), "", &j))
	require.Equal(t, bulkOrders{Selected: 3, Sent: 1, Waiting: 2}, j.Orders)
	require.Equal(t, http.StatusOK, o.ask("first", http.MethodPost, fmt.Sprintf("/bulk/jobs/%d/pause", j.ID), `{"reason": "lunch"}`, &j))
	require.Equal(t, bulk.Paused, j.State)
	require.Equal(t, "lunch", *j.Why)
	require.Equal(t, "api", j.ChangedBy)
	require.Equal(t, http.StatusOK, o.ask("first", http.MethodPost, fmt.Sprintf("/bulk/jobs/%d/resume", j.ID), ``, &j))
	o.exec(`UPDATE vendor_erp_sync SET generation = 2, status = 'success' WHERE sync_id IN (1, 2)`)
	for j.State != bulk.Done {
		o.runJobs()
		require.Equal(t, http.StatusOK, o.ask("first", http.MethodGet, fmt.Sprintf("/bulk/jobs/%d", j.ID), "", &j))
	}
	require.Equal(t, bulkOrders{Selected: 3, Done: 3, Succeeded: 2, Refused: 1}, j.Orders)
	var answer struct{ Code string }
	require.Equal(t, http.StatusConflict, o.ask("first", http.MethodPost, fmt.Sprintf("/bulk/jobs/%d/stop", j.ID), ``, &answer))
	require.Equal(t, "bulk_job_ended", answer.Code)
}

// Results of more than one page come in one answer, each order once, and go on from any line.
func TestResultsAreStreamedAndGoOnFromALine(t *testing.T) {
	t.Parallel()
	o := opened(t)
	o.bulkJobs()
	o.exec(`DELETE FROM bulk_item`)
	o.exec(`INSERT INTO bulk_item (job_id, place, sync_id, source, order_increment_id) SELECT 2, i, i, 'default', i FROM generate_series(1, $1::int) AS i`, 2*resultsPage+7)
	read := func(query string) (cursors []string) {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, httpapi.BasePath+"/bulk/jobs/2/results"+query, nil)
		r.Header.Set("Authorization", "Bearer first")
		o.server.ServeHTTP(w, r)
		require.Equal(t, "application/x-ndjson", w.Header().Get("Content-Type"))
		for lines := bufio.NewScanner(w.Body); lines.Scan(); {
			var i bulkItem
			require.NoError(t, json.Unmarshal(lines.Bytes(), &i))
			cursors = append(cursors, i.Cursor)
		}
		return cursors
	}
	all := read("")
	require.Len(t, all, 2*resultsPage+7)
	require.Equal(t, all[1500:], read("?cursor="+all[1499]))
	require.Empty(t, read("?cursor="+all[len(all)-1]))
}

// What a command for many needs is what it needs alone, whoever made the preview.
func TestWhoMayGiveBulkCommands(t *testing.T) {
	t.Parallel()
	o := opened(t)
	o.listed()
	resync := o.make(`{"name": "resender", "resources": ["Escooter_ErpConnector::resync", "Escooter_ErpConnector::view_status"]}`).Token
	viewer := o.make(`{"name": "viewer", "resources": ["Escooter_ErpConnector::view_status"]}`).Token
	const body = `{"filter": {"status": "failed"}, "reason": "why"}`
	require.Equal(t, http.StatusForbidden, o.ask(viewer, http.MethodPost, "/bulk/resync", body, nil))
	for _, path := range []string{"cancel", "settle", "send-now"} {
		require.Equal(t, http.StatusForbidden, o.ask(resync, http.MethodPost, "/bulk/"+path, body, nil), path)
	}
	settle := o.preview("first", "settle", body)
	start := fmt.Sprintf(`{"token": %q}`, settle.Token)
	require.Equal(t, http.StatusForbidden, o.ask(viewer, http.MethodPost, "/bulk/jobs", start, nil))
	require.Equal(t, http.StatusForbidden, o.ask(resync, http.MethodPost, "/bulk/jobs", start, nil), "of a settlement")
	job := o.startJob("first", settle.Token)
	require.Equal(t, http.StatusForbidden, o.ask(resync, http.MethodPost, fmt.Sprintf("/bulk/jobs/%d/stop", job.ID), ``, nil))
	require.Equal(t, http.StatusForbidden, o.ask(viewer, http.MethodPost, fmt.Sprintf("/bulk/jobs/%d/stop", job.ID), ``, nil))
	mine := o.startJob(resync, o.preview(resync, "resync", body).Token)
	require.Equal(t, "resender", mine.StartedBy)
	require.Equal(t, http.StatusOK, o.ask(resync, http.MethodPost, fmt.Sprintf("/bulk/jobs/%d/stop", mine.ID), ``, nil))
	require.Equal(t, http.StatusOK, o.ask(viewer, http.MethodGet, "/bulk/jobs", "", nil))
	require.Equal(t, http.StatusOK, o.ask(viewer, http.MethodGet, fmt.Sprintf("/bulk/jobs/%d/results", mine.ID), "", nil))
}

// A token for one shop makes and sees jobs about this shop alone.
func TestBulkJobsOfATokenForOneShop(t *testing.T) {
	t.Parallel()
	o := opened(t)
	o.listed()
	shop := o.make(`{"name": "outlet's desk", "resources": ["Escooter_ErpConnector::manage"], "source": "outlet"}`).Token
	all := o.startJob("first", o.preview("first", "resync", `{"filter": {"status": "failed"}}`).Token)
	named := o.startJob("first", o.preview("first", "resync", `{"sync_ids": [2]}`).Token)
	about := o.startJob("first", o.preview("first", "resync", `{"filter": {"status": "failed", "source": "outlet"}}`).Token)

	p := o.preview(shop, "resync", `{"filter": {"status": "failed"}}`)
	require.EqualValues(t, 1, p.Orders, "where it names no shop, its own is meant")
	require.Equal(t, 1, o.preview(shop, "resync", `{"sync_ids": [1, 2]}`).Unknown, "another shop's order is none of its business")
	mine := o.startJob(shop, p.Token)
	require.Equal(t, "outlet", *mine.Source)
	require.Equal(t, http.StatusForbidden, o.ask(shop, http.MethodPost, "/bulk/resync", `{"filter": {"source": "default"}}`, nil))
	require.Equal(t, http.StatusForbidden, o.ask(shop, http.MethodPost, "/bulk/jobs", fmt.Sprintf(`{"token": %q}`, o.preview("first", "resync", `{"filter": {"status": "failed"}}`).Token), nil))

	var list struct{ Jobs []bulkJob }
	require.Equal(t, http.StatusOK, o.ask(shop, http.MethodGet, "/bulk/jobs", "", &list))
	require.Len(t, list.Jobs, 2)
	require.Equal(t, []int64{mine.ID, about.ID}, []int64{list.Jobs[0].ID, list.Jobs[1].ID})
	for _, other := range []bulkJob{all, named} {
		for _, path := range []string{"", "/results"} {
			require.Equal(t, http.StatusNotFound, o.ask(shop, http.MethodGet, fmt.Sprintf("/bulk/jobs/%d%s", other.ID, path), "", nil))
		}
		require.Equal(t, http.StatusNotFound, o.ask(shop, http.MethodPost, fmt.Sprintf("/bulk/jobs/%d/stop", other.ID), "", nil))
	}
	require.Equal(t, http.StatusOK, o.ask(shop, http.MethodPost, fmt.Sprintf("/bulk/jobs/%d/pause", about.ID), "", nil))
}

// The words that are described are those that are taken.
func TestTheWordsOfABulkFilterAreDescribed(t *testing.T) {
	t.Parallel()
	require.ElementsMatch(t, BulkWords, membersOf(reflect.TypeFor[bulkFilter]()))
	require.ElementsMatch(t, membersOf(reflect.TypeFor[bulkRequest]()), membersOf(reflect.TypeFor[bulkPlanBody]()))
}
