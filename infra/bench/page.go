package bench

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Where the report and the page are, from this folder.
const (
	reportFile = "figures.json"
	pageFile   = "../../docs/benchmarks.md"
)

// Report is what a measurement found, and where it was made.
type Report struct {
	Date     string   `json:"date"`     // 2026-11-29
	Machine  string   `json:"machine"`  // 2 cores, linux/amd64
	Versions []string `json:"versions"` // Postgres 15.14
	Runs     int      `json:"runs"`     // each figure is the median of so many
	Figures  []Figure `json:"figures"`
}

// Encode gives the report as the JSON that Decode reads.
func (r Report) Encode() ([]byte, error) {
	encoded, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding a report: %w", err)
	}
	return append(encoded, '\n'), nil
}

// Decode reads a report.
func Decode(encoded []byte) (r Report, err error) {
	if err := json.Unmarshal(encoded, &r); err != nil {
		return r, fmt.Errorf("reading a report: %w", err)
	}
	return r, nil
}

// Over is the report with those cases of an earlier one that were not measured again, each with its date, and in the order of the
// earlier one. It takes none of another machine.
func (r Report) Over(before Report) Report {
	if r.Machine != before.Machine {
		return r
	}
	now := map[string][]Figure{}
	for _, f := range r.Figures {
		now[f.Case] = append(now[f.Case], f)
	}
	var all []Figure
	for _, f := range before.byCase() {
		if again, is := now[f.Case]; is {
			all, now[f.Case] = append(all, again...), nil
			continue
		}
		if f.Date == "" {
			f.Date, f.Runs = before.Date, before.Runs
		}
		all = append(all, f)
	}
	for _, f := range r.Figures {
		all, now[f.Case] = append(all, now[f.Case]...), nil
	}
	r.Figures = all
	return r
}

// Page is docs/benchmarks.md.
func (r Report) Page() string {
	var b strings.Builder
	fmt.Fprintf(&b, head, runs(r.Runs), r.Date, r.Machine, strings.Join(r.Versions, ", "))
	section := ""
	for _, f := range r.byCase() {
		if f.Case != section {
			section = f.Case
			fmt.Fprintf(&b, "\n## %s\n\n", upper(section))
			if f.Date != "" && (f.Date != r.Date || f.Runs != r.Runs) {
				fmt.Fprintf(&b, "Measured on %s, %s.\n\n", f.Date, runs(f.Runs))
			}
			b.WriteString("| on | what | ours | beside | | ratio |\n|---|---|---|---|---|---|\n")
		}
		beside, ratio := "", ""
		if f.Base != 0 {
			beside, ratio = text(f.Base), fmt.Sprintf("**%.2f**", f.Ratio())
		}
		better := ""
		if f.Lower && f.Base != 0 {
			better = " (less is better)"
		}
		fmt.Fprintf(&b, "| %s | %s%s | %s | %s | %s | %s |\n", f.On, f.What, better, text(f.Ours), beside, f.Beside, ratio)
	}
	b.WriteString(peer)
	return b.String()
}

// byCase brings the figures of a case together, in the order in which the cases came.
func (r Report) byCase() []Figure {
	first := map[string]int{}
	for i, f := range r.Figures {
		if _, known := first[f.Case]; !known {
			first[f.Case] = i
		}
	}
	return slices.SortedStableFunc(slices.Values(r.Figures), func(a, b Figure) int { return first[a.Case] - first[b.Case] })
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func runs(n int) string {
	if n == 1 {
		return "of one run"
	}
	return fmt.Sprintf("the median of %d runs", n)
}

// text is a figure with three digits, and a comma between thousands.
func text(value float64) string {
	value = round(value)
	if value < 1000 {
		return strconv.FormatFloat(value, 'f', -1, 64)
	}
	digits := strconv.FormatFloat(value, 'f', 0, 64)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

const head = `# How fast it is

` + "```sh" + `
task bench          # measures, and writes this page
task bench:large    # the relay with a million and ten million rows: 20 GB of disk, 12 minutes
task bench:check    # says which ratio is more than 15 %% worse than this page, and which it did not measure
` + "```" + `

Read the ratios. Absolute figures of machines of one kind differ by three times; what stands beside a figure was measured in the
same run. Postgres has fsync on, and everything shares the cores: the product, Postgres, the broker, the ERP and the load.

Each figure is %s. Measured on %s: %s; %s.

**naive connector**: one row an event, a call of the ERP, the row marked as done. It publishes nothing, keeps no log, has no gate
against a second booking, and a crash after the ERP's answer books twice. **bare loop**: reads rows of the outbox and produces them
in Kafka transactions of 1,000, nothing else. **Watermill**: its stock SQL subscriber, router and our publisher. **COPY**: the same
rows into the same tables. Connector, loop and Watermill are each a process of their own, as the product is.
`

const peer = `
## A peer, quoted

hookdeck/outpost f67ae01 (Redis with its log on, RabbitMQ, Postgres, concurrency 100), measured on 2026-12-01 in turns with this
product: 8,000 single events, 64 connections, 2 cores, an endpoint that answers at once; medians of three. 2,000 others came
before outpost's, and 8,000 before ours on Apache Kafka, as a broker that has just started is still being compiled. Outpost keeps no order
per key and writes no answer to a log, so it does less. This page's command cannot run it.

| what | outpost | ours, embedded broker | ratio | ours, Apache Kafka | ratio |
|---|---|---|---|---|---|
| events/s, to the endpoint | 1,901 | 3,236 | **1.70** | 2,475 | **1.30** |
| CPU seconds per 1,000 | 0.86 | 0.50 | **0.58** | 0.69 | **0.80** |
| POST p50, ms | 30.4 | 16.0 | **0.53** | 18.0 | **0.59** |
| POST p99, ms | 68.1 | 39.8 | **0.58** | 48.1 | **0.71** |
| accepted to the endpoint, p50, ms | 244 | 349 | **1.43** | 889 | **3.64** |

Events are accepted faster than they are called, here 3,700 and 3,200 a second, so a burst gets ahead of the calls: in single runs the median from
accepted to the endpoint was 317 to 1,167 ms with ours. At 50 a second it is 1 to 4 ms (above).
`
