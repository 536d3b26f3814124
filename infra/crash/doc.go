// Package crash runs the product as in production: several processes of each service, with an Apache Kafka and a Postgres of
// their own. It kills all of them again and again under load, and then checks the product's promises on what is left.
// `task crash KILLS=1000` is the long run. It prints its seed, and SEED repeats the plan.
//
// Read nemesis (what happens when), stage (what is killed and started again), workload and erp (the clients and the ERP),
// run_test.go (one run), and then history, collect and checker (what is left, and what it must be).
package crash
