package txn

import (
	"time"
)

func (s *Session) assigned(all []assigned) {
	s.lanes.Forget()
	s.stir() // the first fetches may be without most of the partitions: the client sends them while it is told of these
	s.current.Store(newAssignment(s.stopped, all))
	s.catchUpNow() // nothing may be left to poll that would lead to an offer
}

// revoked returns only after the last transaction of the partitions has ended. The broker would not refuse a later
// commit: it checks member and generation, not who owns the partition.
func (s *Session) revoked() {
	if a := s.current.Swap(nil); a != nil {
		s.handOver(a)
	}
}

// lost drops everything: the group has removed this member, and other members may own the partitions already.
func (s *Session) lost() {
	if a := s.current.Swap(nil); a != nil {
		a.lost.Store(true)
		a.stop()
		a.cancel()
		s.handler.Revoked()
		s.flushNow()
		<-a.drained()
	}
}

// handOver lets tasks under way finish for Config.Grace, cancels the rest, and waits until every finished task is
// committed or dropped.
func (s *Session) handOver(a *assignment) {
	a.stop()
	s.handler.Revoked()
	s.flushNow()
	drained := a.drained()
	grace := time.NewTimer(s.cfg.Grace)
	defer grace.Stop()
	select {
	case <-drained:
	case <-grace.C:
		a.cancel()
	}
	limit := time.NewTimer(commitTimeout)
	defer limit.Stop()
	select {
	case <-drained:
	case <-limit.C:
		a.lost.Store(true)
		s.finished.wake()
		<-drained
	}
	a.cancel()
}

// isHandingOver reports whether the partitions are taken away, or there are none.
func (s *Session) isHandingOver() bool {
	a := s.current.Load()
	return a == nil || a.stopping.Load()
}

// flushNow has what has finished committed or dropped, also in a rest.
func (s *Session) flushNow() {
	select {
	case s.flush <- struct{}{}:
	default:
	}
}
