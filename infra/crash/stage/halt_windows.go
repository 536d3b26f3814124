package stage

// Supported reports whether the harness can do to processes here what it must.
const Supported = false

func (p *process) halt() {}

func (p *process) goOn() {}
