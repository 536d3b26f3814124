package domain

import (
	"encoding/json"
	"fmt"
)

// ParentID is the item_id of the line that a line is part of. The zero value is none, which shops write as null, 0 or "".
type ParentID int64

// MarshalJSON writes none as null.
func (p ParentID) MarshalJSON() ([]byte, error) {
	if p == 0 {
		return []byte("null"), nil
	}
	return json.Marshal(int64(p))
}

// UnmarshalJSON reads a whole number, null or an empty string.
func (p *ParentID) UnmarshalJSON(b []byte) error {
	if string(b) == `""` {
		*p = 0
		return nil
	}
	return json.Unmarshal(b, (*int64)(p))
}

// Flaw is one remark on an order: where, as a JSON pointer into the event that brings the order, and what.
type Flaw struct{ Pointer, Detail string }

func (f Flaw) String() string { return f.Pointer + " " + f.Detail }

func itemPointer(i int, field string) string { return fmt.Sprintf("/order/items/%d%s", i, field) }

// CheckLines finds the lines whose parents make no sense, so that nobody knows what to send. A line that names a parent must have
// exactly one in the order, and the parents must lead to a line without a parent.
func CheckLines(items []Item) []Flaw {
	_, flaws := wholes(items)
	return flaws
}

// isPart reports whether a line is sent as a part of another one, not on its own: the child of a configurable item.
func (it Item) isPart() bool { return it.ParentItemID != 0 }

// wholes finds for each line the one that is sent for it: itself, unless it is a part. Nil means that no line is a part.
func wholes(items []Item) (whole []int, flaws []Flaw) {
	byID := indexParents(items)
	if byID == nil {
		return nil, nil
	}
	whole = make([]int, len(items))
	for i := range whole {
		whole[i] = undecided
	}
	for i := range items {
		flaw := follow(items, byID, whole, i)
		if flaw != nil {
			flaws = append(flaws, *flaw)
		}
	}
	return whole, flaws
}

// Marks of a line whose whole is not known: not visited yet, on the path that is being followed, and impossible to find.
const (
	undecided = -1 - iota
	onPath
	unknown
)

// follow goes from a line to its parent, and on, until it comes to a line that is sent, or whose whole is known.
func follow(items []Item, byID map[ParentID]parent, whole []int, from int) *Flaw {
	var path []int
	at, flaw := from, (*Flaw)(nil)
	for whole[at] == undecided && items[at].isPart() {
		whole[at] = onPath
		path = append(path, at)
		p := byID[items[at].ParentItemID]
		if detail := p.wrong(items, at); detail != "" {
			whole[at], flaw = unknown, &Flaw{itemPointer(at, "/parent_item_id"), detail}
			break
		}
		at = p.index
	}
	if whole[at] == onPath {
		flaw = &Flaw{itemPointer(at, "/parent_item_id"), fmt.Sprintf(
			"is %d, and the parents of that line lead back to this one: name the line that is sent, or null for a line of its own", items[at].ParentItemID)}
		whole[at] = unknown
	}
	if whole[at] == undecided {
		whole[at] = at
	}
	for _, i := range path {
		whole[i] = whole[at]
	}
	return flaw
}

// parent is a line that others name as their parent.
type parent struct {
	index int // of the first line with the id
	lines int // how many lines have the id
}

// indexParents finds the lines that others name as their parent; nil when no line names one.
func indexParents(items []Item) map[ParentID]parent {
	var byID map[ParentID]parent
	for _, it := range items {
		if it.isPart() {
			if byID == nil {
				byID = map[ParentID]parent{}
			}
			byID[it.ParentItemID] = parent{}
		}
	}
	for i, it := range items {
		if byID == nil || it.ItemID == nil {
			continue
		}
		id := ParentID(*it.ItemID)
		if p, named := byID[id]; named {
			if p.lines == 0 {
				p.index = i
			}
			p.lines++
			byID[id] = p
		}
	}
	return byID
}

// wrong says why this cannot be the parent of the line; empty when it can.
func (p parent) wrong(items []Item, child int) string {
	id := items[child].ParentItemID
	switch {
	case p.lines == 0:
		return fmt.Sprintf("is %d, but no line of the order has that item_id: send the parent too, or null for a line of its own", id)
	case p.lines > 1:
		return fmt.Sprintf("is %d, but %d lines of the order have that item_id (%s is the first): give each its own", id, p.lines, itemPointer(p.index, ""))
	case p.index == child:
		return fmt.Sprintf("is %d, which is the line itself: name its parent, or null for a line of its own", id)
	default:
		return ""
	}
}
