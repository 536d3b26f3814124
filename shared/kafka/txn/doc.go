// Package txn consumes, processes and produces in one Kafka transaction, for work that takes time and ends in any order.
//
// # What it is for
//
// A process reads records from topics. It does something for each, perhaps a call that takes seconds. Then it writes
// the result to other topics. The result and the mark "this record is done" must become visible together and once,
// whichever process or broker dies meanwhile.
//
// Kafka's transactions can do that: they write records and a consumer group's offsets as one. franz-go has
// GroupTransactSession for it, but that commits everything that was polled. Here records that were polled together end
// one by one. A slow record must not hold up the others, and a restart must not repeat those that are done.
//
// # A worked example
//
//	session := txn.New(txn.Config{
//		TransactionalID: "copier-0", Group: "copier", Topics: []string{"in"}, MarkerTopic: "markers", …
//	}, handler)
//	err := session.Run(ctx) // until ctx ends
//
// Run offers each record to Handler.Take, as a Task. The handler takes it and works on it in a goroutine of its own. It
// calls Task.Finish with the records to write. The session collects finished tasks. It commits their records and the
// group's offsets in one transaction, while the next tasks finish, and then calls Handler.Committed. The Example of
// Session runs.
//
// # The life of a session
//
// Fence. The session opens a transactional producer under its transactional id. This decides the transaction that a
// killed process may have left open under that id: if it was not committed, it is aborted. Only one process may use an
// id at a time. The caller must see to that, with a lock that a dead process loses (a lease).
//
// Join. Then the session joins its group. Each assignment comes with the group's committed offsets. The metadata of an
// offset says which records after it are done already; these are skipped. A partition without a committed offset is a
// loss, and reading from either end would hide it. So the session ends with ErrOffsetMissing.
//
// Run. One goroutine polls and offers records, one commits. A record that is not taken waits. It is offered again after each
// poll and each commit, and by a timer, as neither may come. When many wait, their partition is paused.
//
// Revoke. When the group takes partitions away, nothing new begins. Tasks under way get Config.Grace to finish; then
// Task.Context ends. What has finished is committed. Only then does the revocation return, so that the next owner reads
// offsets that are final. An assignment can also be lost, when the coordinator takes this member for dead. Then
// everything ends at once, and nothing of it is committed.
//
// # Who sees what, and when
//
// A reader with read_committed sees the records of a task, and the group sees its offset, when the brokers have written
// the transaction's commit markers. Until then the transaction hides all later records of its partitions from such
// readers. So a transaction must be short. It takes some milliseconds as a rule; the broker aborts it after 10 s
// (transactionTimeout). When a process dies with an open transaction, records stay hidden until the next user of its id
// fences it, EndAbandoned ends it, or the time-out passes.
//
// Other clients may write to the same topics without a transaction. Their records are visible once no earlier
// transaction is open in that partition.
//
// # When something fails
//
//   - A commit fails before its end. Nothing of it is visible. The session commits the same tasks again; the handler does not work
//     on them again.
//   - The answer to the commit is lost (ErrCommitUnknown). The transaction may be committed. The session fences its own id, which
//     decides the transaction. Then it reads the group's offsets: they say whether it was committed. Only then does it write again.
//   - The group refuses the offsets (ErrNotOwner). The partitions have another owner by now. The tasks are dropped
//     (Handler.Dropped), and the other owner works on their records. So the same work may begin twice, and the handler's effects
//     must allow for that.
//   - The brokers refuse a record for its content (RefusedError; too large, as a rule). The batch is halved until the task is
//     alone in it. Then Handler.Refused gives the task other records to write.
//   - Some partitions take no records (UnavailableError; no leader, or too few in-sync replicas). The tasks of these partitions
//     wait, and all others go on (see Lanes). The failed transaction cannot end until the partition is back, as its marker must be
//     written there too. Until then its id takes no new transaction. So the session goes on with a further id: each
//     Config.TransactionalID stands for eight, "copier-0", "copier-0.1" and so on.
//   - The process is halted, or cut off from the brokers. Session.Owns turns false before the group can give its partitions away.
//     The handler should begin nothing then that it cannot take back.
//
// # Lanes
//
// A lane is a partition number. All writers use the same partitioner (kafka.Config has it), and the topics have the
// same count of partitions. So records with one key have the same partition number in every topic, and the records that
// a task writes belong to the task's own lane. A lane can be held without a look at the records, and the records of a
// key keep their order.
//
// # Flows
//
// A flow is what keeps its order within a partition, and need not wait for what else is there: with Config.FlowOf, the
// orders of a shop. When the handler does not take a record, its flow falls behind, and the other flows of the partition go
// on. The flow has a position of its own in the commit's metadata, so it is done once like everything else. What found no
// place in memory is read again from there. Read behind.go, catchup.go, and metadata.go.
package txn
