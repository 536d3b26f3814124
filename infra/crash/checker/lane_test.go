package checker

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

func TestOrdersOfOtherPartitionsGoOnWhileOneTakesNoRecords(t *testing.T) {
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	outcomes := func(partition int32, seconds ...int) (records []history.Record) {
		for _, s := range seconds {
			records = append(records, history.Record{Topic: topicAfter, Partition: partition, Timestamp: at.Add(time.Duration(s) * time.Second)})
		}
		return records
	}
	every := outcomes(0, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23)
	for name, c := range map[string]struct {
		records []history.Record
		change  func(h *history.History)
		blamed  int
	}{
		"they go on":                             {records: every},
		"they stand still until it is back":      {records: outcomes(0, 1, 3, 5), blamed: 1},
		"they are slow":                          {records: outcomes(0, 1, 13, 20, 22)},
		"only the starved one goes on":           {records: outcomes(1, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23), blamed: 1},
		"they stand still until it is found out": {records: outcomes(0, 11, 13, 15, 17, 19, 21, 23)},
		"the ERP is down": {change: func(h *history.History) {
			h.Disturbances = append(h.Disturbances, history.Disturbance{Kind: "down", Target: "erp", At: at.Add(time.Second), Restarted: at.Add(23 * time.Second), Ready: at.Add(23 * time.Second)})
		}},
		"the breaker opened as the ERP was down": {records: outcomes(0, 1), change: func(h *history.History) {
			h.Disturbances = append(h.Disturbances, history.Disturbance{Kind: "down", Target: "erp", At: at.Add(2 * time.Second), Restarted: at.Add(4 * time.Second), Ready: at.Add(4 * time.Second)})
			h.Breaker = []history.BreakerChange{{At: at.Add(3 * time.Second), From: "closed", To: "open"}, {At: at.Add(21 * time.Second), From: "open", To: "closed"}}
		}},
		"the breaker opened for no reason": {records: outcomes(0, 1), blamed: 1, change: func(h *history.History) {
			h.Breaker = []history.BreakerChange{{At: at.Add(3 * time.Second), From: "closed", To: "open"}, {At: at.Add(21 * time.Second), From: "open", To: "closed"}}
		}},
		"a process was killed shortly before": {change: func(h *history.History) {
			h.Disturbances = append(h.Disturbances, history.Disturbance{Kind: "kill", Target: "relay-0", At: at, Restarted: at.Add(time.Second), Ready: at.Add(10 * time.Second)})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h := &history.History{ThinPartition: 1, Partitions: 2, Records: c.records, Disturbances: []history.Disturbance{
				{Kind: "starve", Target: "broker", At: at, Restarted: at.Add(24 * time.Second), Ready: at.Add(28 * time.Second)},
			}}
			if c.change != nil {
				c.change(h)
			}
			judge := newChecker(h)
			judge.checkLanes()
			require.Len(t, judge.found, c.blamed)
		})
	}
}
