package devkafka

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const lookInterval = time.Second

// members ends the membership of consumers that died while they joined a group.
//
// kfake starts a member's session timer with its answer to the JoinGroup request. When the connection is gone by then there is no
// answer and no timer. The dead member stays in the group, and the partitions that the leader gave it are read by nobody until
// the next rebalance. A real broker removes it after its session time-out, and so does this.
type members struct {
	client *kgo.Client

	mu   sync.Mutex
	seen map[member]presence
}

type member struct{ group, id string }

type presence struct {
	last    time.Time     // of its latest request
	session time.Duration // that it asked for
}

// watchMembers notes each request that members of groups send.
func watchMembers(cluster *kfake.Cluster) (*members, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		return nil, fmt.Errorf("connecting to itself: %w", err)
	}
	m := &members{client: client, seen: map[member]presence{}}
	for _, request := range []kmsg.Request{kmsg.NewPtrJoinGroupRequest(), kmsg.NewPtrSyncGroupRequest(), kmsg.NewPtrHeartbeatRequest()} {
		cluster.ControlKey(request.Key(), func(r kmsg.Request) (kmsg.Response, error, bool) {
			m.note(r, time.Now())
			return nil, nil, false
		})
	}
	return m, nil
}

func (m *members) note(r kmsg.Request, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch r := r.(type) {
	case *kmsg.JoinGroupRequest:
		if r.MemberID != "" {
			m.seen[member{r.Group, r.MemberID}] = presence{now, time.Duration(r.SessionTimeoutMillis) * time.Millisecond}
		}
	case *kmsg.SyncGroupRequest:
		m.heard(member{r.Group, r.MemberID}, now)
	case *kmsg.HeartbeatRequest:
		m.heard(member{r.Group, r.MemberID}, now)
	}
}

func (m *members) heard(who member, now time.Time) {
	if p, known := m.seen[who]; known {
		p.last = now
		m.seen[who] = p
	}
}

// run looks at all groups once a second until it is told to stop.
func (m *members) run(stop <-chan struct{}) {
	defer m.client.Close()
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			m.removeSilent()
		case <-stop:
			return
		}
	}
}

// removeSilent makes members leave that have sent nothing for longer than their session. While a group rebalances its members wait
// for answers and send nothing, so only stable groups are looked at.
func (m *members) removeSilent() {
	silent := m.silent(time.Now())
	if len(silent) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookInterval)
	defer cancel()
	for group, ids := range silent {
		described, err := kadm.NewClient(m.client).DescribeGroups(ctx, group)
		if err != nil || described[group].State != "Stable" {
			continue
		}
		leave := kmsg.NewPtrLeaveGroupRequest()
		leave.Group = group
		for _, d := range described[group].Members {
			if ids[d.MemberID] {
				one := kmsg.NewLeaveGroupRequestMember()
				one.MemberID = d.MemberID
				leave.Members = append(leave.Members, one)
			}
		}
		if len(leave.Members) > 0 {
			if _, err := leave.RequestWith(ctx, m.client); err != nil {
				continue
			}
		}
		m.forget(group, ids)
	}
}

func (m *members) silent(now time.Time) map[string]map[string]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	groups := map[string]map[string]bool{}
	for who, p := range m.seen {
		if now.Sub(p.last) > p.session+lookInterval {
			if groups[who.group] == nil {
				groups[who.group] = map[string]bool{}
			}
			groups[who.group][who.id] = true
		}
	}
	return groups
}

func (m *members) forget(group string, ids map[string]bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id := range ids {
		delete(m.seen, member{group, id})
	}
}
