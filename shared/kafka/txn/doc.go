// Package txn is consume, process, produce in one Kafka transaction, for work that takes time and ends in any order.
//
// # What it is for
//
// A process reads records from topics, does something for each (a call that may take seconds), and writes what came of it to other
// topics. What it writes, and the note that the record is done, must become visible together, once, whatever dies meanwhile.
// Kafka's transactions can do that: they write records and a consumer group's offsets as one. franz-go's own
// GroupTransactSession commits what was polled, in the order it was polled. Here records that were polled together end one by
// one: a slow one must not hold up the others, and a restart must not repeat those that are done.
//
// # A worked example
//
//	session := txn.New(txn.Config{Slot: "copier-0", Group: "copier", Topics: []string{"in"}, Markers: "markers", …}, handler)
//	err := session.Run(ctx) // until ctx ends
//
// Run offers each record to Handler.Take as a Task. The handler takes it, works on it in a goroutine of its own, and calls
// Task.Finish with the records that say what came of it. The session collects finished tasks and commits them: their records and
// the group's offsets, in one transaction, while the next tasks finish. Handler.Committed hears of it. See the Example.
//
// # The life of a session
//
// Fence. The session first opens a transactional producer under the id of its slot. That decides whatever a killed process left
// open under that id: it is aborted, or it was committed. A slot belongs to one process at a time; whoever runs sessions must see
// to that, by a lock that a dead process loses.
//
// Join. Then it joins its group. Each assignment comes with the group's committed offsets. An offset's metadata says which
// records beyond it are done already: those are passed over. A partition without a committed offset is a loss (ErrOffsetMissing)
// and ends the session, as reading from either end would hide it.
//
// Run. One goroutine polls and offers records, one commits. A record that is not taken waits, and its partition is paused
// when enough wait.
//
// Revoke. When partitions are taken away, nothing new begins. What is under way gets Config.Grace, then Task.Context ends. What has
// finished is committed. Only then does the revocation return, so that the next owner reads offsets that hold. An assignment that is
// lost without being asked (the coordinator took this member for dead) ends at once, and nothing of it is committed.
//
// # Who sees what, and when
//
// A reader of committed records sees what a task wrote, and the group sees its offset, at the same moment: when the transaction's
// markers are written. Until then the records hide all later ones of their partitions from such readers. So a transaction must be
// short: at most the broker's time-out of 10 s (transactionTimeout), as a rule some milliseconds. A process that dies with an open
// one hides records until its slot's next holder fences it, or EndAbandoned does, or the time-out passes.
//
// Other clients may write to the same topics outside of any transaction; what they write is visible once no earlier transaction is
// open in that partition.
//
// # When something fails
//
//   - A try to commit fails before its end: nothing of it is visible. The session tries again, with the same tasks. Nobody works
//     them again.
//   - The answer to the commit itself is lost (ErrCommitUnknown): the transaction may stand. The session fences its own id, which
//     decides it, and then reads the group's offsets: they tell whether it was committed. Only then is anything written again.
//   - The group refuses the offsets (ErrNotOwner): the partitions are somebody else's by now. The tasks are dropped
//     (Handler.Dropped); their next owner works them anew. So work must bear repetition: what is begun may be begun again.
//   - The brokers refuse a record for what it is (RefusedError; too large, as a rule): the batch is halved until the task
//     stands alone. Handler.Refused gives it something else to write.
//   - Some partitions take no records (UnavailableError; no leader, or too few replicas in sync): the tasks of these partitions
//     wait, by the number of the partition (a lane), and all others go on. The transaction that failed keeps its id busy until
//     the partition is back, as its end must be written there too: the slot goes on with its next id.
//   - The process is halted, or cut off from the brokers: Owns turns false before the group can give its partitions away.
//     What cannot be taken back should not begin then.
//
// # Lanes
//
// A lane is a partition number. Records of one key have the same number in every topic with as many partitions, if all writers
// use one partitioner (kafka.Config has one). So what follows from a record goes into its own lane, a lane can be held without
// a look at the records, and a key's records keep their order.
package txn
