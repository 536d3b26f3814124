package scheduler

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// A process has no more than one scheduler, so its metrics are in the default registry.
var (
	leader = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "erpconnector_scheduler_leader", Help: "1 while this process releases held orders.",
	})
	runs = promauto.NewCounter(prometheus.CounterOpts{
		Name: "erpconnector_cron_runs_total", Help: "Runs of the cron, those by hand not among them.",
	})
	released = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "erpconnector_scheduler_released_total", Help: "Held orders that were released, by why they were held: cron or disabled.",
	}, []string{"held_by"})
	held = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "erpconnector_held_orders", Help: "Orders that are held, by the reason: cron or disabled. When cron grows from run to run, more come than cron_batch lets go. Counted every 10 s or more rarely by the leader.",
	}, []string{"held_by"})
	oldest = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "erpconnector_oldest_unfinished_order_age_seconds",
		Help: "Time since the oldest order that has not ended was asked for, by its gate: open (on its way) or held; 0 without any. By the leader, every 10 s.",
	}, []string{"state"})
	deadLetters = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "erpconnector_dead_letters_open", Help: "Dead letters that nobody has decided about. Counted every 10 s or more rarely by the leader.",
	})
	bulkRunning = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "erpconnector_bulk_jobs_running", Help: "Bulk jobs that are selecting or running, by the leader.",
	})
	bulkOrders = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "erpconnector_bulk_orders_total", Help: "Orders that have come to their end in a bulk job, by the command and the result: succeeded, failed or refused.",
	}, []string{"command", "result"})
	lastRunAge = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "erpconnector_cron_last_run_age_seconds", Help: "Time since the cron ran last, or since the scheduler first started; only the leader's counts.",
	})
)

// resign resets the figures, which the next leader reports.
func resign() {
	leader.Set(0)
	lastRunAge.Set(0)
	held.Reset()
	oldest.Reset()
	deadLetters.Set(0)
	bulkRunning.Set(0)
}
