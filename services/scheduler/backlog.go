package scheduler

// backlog compares how many orders one run of the cron has left with what the run before left. When it is more, more orders come between
// two runs than one run releases, and orders wait longer and longer.
type backlog struct {
	left    int
	known   bool // a run was seen
	growing bool // and that was reported
}

// after takes how many orders a run has left, and reports whether the backlog has begun to grow. It reports that once, until a run leaves
// fewer.
func (b *backlog) after(left int) (begins bool) {
	grows := b.known && left > b.left
	begins = grows && !b.growing
	b.growing = grows || (b.growing && left == b.left)
	b.left, b.known = left, true
	return begins
}
