package check

// checkAlarms is promise 3 as the product itself sees it: a record that it finds alive though the gate says otherwise, above
// all one of a generation that has ended, was consumed twice. The second one may leave no trace in the log, as the gate
// keeps it from being written; on another day the gate is late.
func (c *checker) checkAlarms() {
	for _, a := range c.h.Alarms {
		c.blame(3, "a gate at odds with the log", c.order(orderKey(a.Source, a.Order)), "%s of generation %d at %s: %s",
			a.Target, a.Generation, clock(a.At), a.Text)
	}
}
