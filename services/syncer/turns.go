package syncer

// turns says which task is next. Shops take turns, a task at a time. A shop's due retries and new requests share its
// turns by weight. Whatever waits, a shop's first task is next after one task of each other shop.
type turns struct {
	shops map[string]*shop
	order []*shop // those with tasks; the first is next
	ready [classes]int
}

// shop has the tasks of one shop, each class in its order of arrival.
type shop struct {
	name  string
	tasks [classes][]*task
	due   int // retries since the last request, while both wait
}

func newTurns() *turns { return &turns{shops: map[string]*shop{}} }

// push adds a task behind its shop's others.
func (t *turns) push(own *task) {
	s := t.shopOf(own)
	s.tasks[own.class] = append(s.tasks[own.class], own)
}

// pushFirst adds tasks before all others of their shop and class, in their order.
func (t *turns) pushFirst(all ...*task) {
	for i := len(all) - 1; i >= 0; i-- {
		s := t.shopOf(all[i])
		s.tasks[all[i].class] = append([]*task{all[i]}, s.tasks[all[i].class]...)
	}
}

// shopOf returns the shop of a task that is added.
func (t *turns) shopOf(own *task) *shop {
	t.ready[own.class]++
	s := t.shops[own.shop]
	if s == nil {
		s = &shop{name: own.shop}
		t.shops[own.shop] = s
		t.order = append(t.order, s)
	}
	return s
}

// next removes and returns the next task: that of the shop whose turn it is. It is nil when there is none. A shop whose
// tasks are of both classes has retryWeight retries for each request.
func (t *turns) next(retryWeight int) *task {
	if len(t.order) == 0 {
		return nil
	}
	s := t.order[0]
	t.order = t.order[1:]
	c := s.turn(retryWeight)
	own := s.tasks[c][0]
	s.tasks[c][0], s.tasks[c] = nil, s.tasks[c][1:]
	t.ready[c]--
	if len(s.tasks[classDue])+len(s.tasks[classRequested]) > 0 {
		t.order = append(t.order, s)
	} else {
		delete(t.shops, s.name)
	}
	return own
}

// turn returns the class whose turn it is.
func (s *shop) turn(retryWeight int) class {
	switch {
	case len(s.tasks[classDue]) == 0:
		s.due = 0
		return classRequested
	case len(s.tasks[classRequested]) == 0:
		s.due = 0
		return classDue
	case s.due < retryWeight:
		s.due++
		return classDue
	default:
		s.due = 0
		return classRequested
	}
}

// waiting returns how many tasks of a class a shop has.
func (t *turns) waiting(shop string, c class) int {
	if s := t.shops[shop]; s != nil {
		return len(s.tasks[c])
	}
	return 0
}

// drain removes and returns all tasks.
func (t *turns) drain() (all []*task) {
	for _, s := range t.order {
		for _, tasks := range s.tasks {
			all = append(all, tasks...)
		}
	}
	*t = *newTurns()
	return all
}

// newcomers is how many tasks may be ready beyond the room for all, one of each shop.
const newcomers = 1000

// hasRoom reports whether one more task of a shop and class may get ready. A shop may have as many as there are places
// left: a single one half of them, and there is always one for another shop.
func (t *turns) hasRoom(shop string, c class, room int) bool {
	waiting := t.waiting(shop, c)
	if waiting == 0 {
		return t.ready[c] < room+newcomers
	}
	return waiting < room-t.ready[c]
}
