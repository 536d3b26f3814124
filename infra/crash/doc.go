// Package crash runs the product as it runs in production, several processes of each service against an Apache Kafka and a
// Postgres of their own, kills all of them again and again under load, and then holds what is left to the product's
// promises. `task crash KILLS=1000` is the long run; the seed prints, and SEED plays the same plan again.
//
// Read plan (what happens when), stage (what is killed and started again), shops and erp (who asks and who is asked),
// run_test.go (one run), and then collect and check (what is left, and what it must be).
package crash
