// Package bench measures the product from outside: its own binary, a Postgres with fsync on, a broker. Each figure stands beside the
// same figure of something simple that is measured in the same run, on the same machine:
//
//   - orders: a naive connector, which keeps each event in one row, calls the ERP and marks the row. It publishes nothing, has no
//     gate against a second booking and keeps no log. It is what a team writes in a week.
//   - relay: a bare loop that reads rows and produces them in transactions of 1,000, and Watermill's stock path.
//   - latency: how long after its commit a row of the outbox is a record, with nothing beside it.
//   - accept: COPY of the same rows into the same tables.
//
// Machines differ by three times; ratios travel. To measure, and to write docs/benchmarks.md:
//
//	task bench
//
// To see whether a ratio is more than 15 % worse than the page says, and of a part of it:
//
//	task bench:check
//	task bench:check -- -measure.only relay -measure.on 'Apache Kafka'
//
// It says which ratios of the page it did not measure. -measure.write of a part keeps the other cases, with their date.
package bench
