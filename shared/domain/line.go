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

// Flaw is one thing to know of an order: where, as a JSON pointer of the event that brings the order, and what.
type Flaw struct{ Pointer, Detail string }

func (f Flaw) String() string { return f.Pointer + " " + f.Detail }

func itemPointer(i int, field string) string { return fmt.Sprintf("/order/items/%d%s", i, field) }

// CheckLines finds the lines that cannot be told whole from part, so that it is not known what is to be sent: each line
// that names a parent has exactly one, in the order, and its parents lead to a line without.
func CheckLines(items []Item) []Flaw {
	_, flaws := wholes(items)
	return flaws
}

// isPart reports a line that is sent as part of another one, and not on its own: the child of a configurable item.
func (it Item) isPart() bool { return it.ParentItemID != 0 }

// wholes gives of each line the one that is sent for it: itself, unless it is a part. Nil means that each is sent itself.
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

// Marks of a line whose whole is not known: not looked at yet, on the way that is being followed, and not to be told.
const (
	undecided = -1 - iota
	onTheWay
	unknown
)

// follow goes from the line to its parent and on, until it comes to a line that is sent, or whose whole is known.
func follow(items []Item, byID map[ParentID]parent, whole []int, from int) *Flaw {
	var way []int
	at, flaw := from, (*Flaw)(nil)
	for whole[at] == undecided && items[at].isPart() {
		whole[at] = onTheWay
		way = append(way, at)
		p := byID[items[at].ParentItemID]
		if detail := p.wrong(items, at); detail != "" {
			whole[at], flaw = unknown, &Flaw{itemPointer(at, "/parent_item_id"), detail}
			break
		}
		at = p.index
	}
	if whole[at] == onTheWay {
		flaw = &Flaw{itemPointer(at, "/parent_item_id"), fmt.Sprintf(
			"is %d, and the parents of that line lead back to this one: name the line that is sent, or null for a line of its own", items[at].ParentItemID)}
		whole[at] = unknown
	}
	if whole[at] == undecided {
		whole[at] = at
	}
	for _, i := range way {
		whole[i] = whole[at]
	}
	return flaw
}

// parent is the line that others name as theirs.
type parent struct {
	index int // the first of its id
	lines int // that have the id
}

// indexParents finds the lines that others name; nil when no line names one.
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

// wrong is why the parent cannot be the line's; empty when it can.
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
