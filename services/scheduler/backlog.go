package scheduler

// backlog compares what one run of the cron has left with what the run before left. More than that means that more orders come
// between two runs than one releases: some wait for ever longer.
type backlog struct {
	left    int
	known   bool // a run was seen
	growing bool // and said so
}

// after takes how many orders a run has left, and reports whether the backlog begins to grow. It says so once, until a run has
// left fewer.
func (b *backlog) after(left int) (begins bool) {
	grows := b.known && left > b.left
	begins = grows && !b.growing
	b.growing = grows || (b.growing && left == b.left)
	b.left, b.known = left, true
	return begins
}
