package bench

// ofUse are figures that only a system which tells what processes use can give; elsewhere there are none.
func ofUse(figures ...Figure) []Figure {
	if !HasUsage {
		return nil
	}
	return figures
}

// CPU is CPU time in seconds, user and system, of all cores.
type CPU struct {
	Product  float64 // with the embedded broker, where it runs in the same process
	Postgres float64
	Kafka    float64 // Apache's
	Self     float64 // this process: load, ERP and readers, and what runs in it
}

// All is the sum, without this process.
func (c CPU) All() float64 { return c.Product + c.Postgres + c.Kafka }

// Since is what was used after before.
func (c CPU) Since(before CPU) CPU {
	return CPU{Product: c.Product - before.Product, Postgres: c.Postgres - before.Postgres, Kafka: c.Kafka - before.Kafka, Self: c.Self - before.Self}
}
