package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/syncs"
)

const (
	maxFound    = 5000 // syncs up to the end of the page that is asked for, and that are counted
	maxSearches = 4    // lists that one search makes: each looks at 2,000 syncs, or at as many as it may give
)

// magentoJSON is the type of an answer in Magento's form. Clients that ask in our form need not tell the two apart.
const magentoJSON = "application/json;form=magento"

// searchResults is the answer to Magento's form. It has no member of our own.
type searchResults struct {
	Items          []listedSync   `json:"items"`
	SearchCriteria searchCriteria `json:"search_criteria"`
	TotalCount     int64          `json:"total_count"`
}

// searchSyncs answers a query in Magento's form.
func (h *handler) searchSyncs(w http.ResponseWriter, r *http.Request, p *httpapi.Parameters) {
	c := criteriaOf(p)
	f := syncs.Filter{Source: sourceOfList(p)}
	c.apply(p, &f)
	if c.PageSize*c.CurrentPage > maxFound {
		p.Refuse(criteriaParameter+"[current_page]", problem.CodeRange, fmt.Sprintf(
			"with page_size=%d ends after %d syncs, and pages end after %d at most: narrow the search, or go through all with cursor in place of %s",
			c.PageSize, c.PageSize*c.CurrentPage, maxFound, criteriaParameter))
	}
	if !taken(w, r, p, &f) {
		return
	}
	out, whole, err := h.search(r.Context(), f, c)
	switch {
	case err != nil:
		h.syncsFailed(w, r, err)
	case !whole:
		problem.Write(w, problem.Problem{
			Status: http.StatusBadRequest, Code: "search_too_wide",
			Detail: "so few of the syncs that were looked at match that the page is not full: narrow the search by source, status, order, error or times, or " +
				"go through all with cursor in place of " + criteriaParameter,
		})
	default:
		problem.JSONAs(w, magentoJSON, http.StatusOK, out)
	}
}

// search finds the page, and how many match. whole is false when the page may have more than it found.
func (h *handler) search(ctx context.Context, f syncs.Filter, c searchCriteria) (out searchResults, whole bool, err error) {
	out = searchResults{Items: []listedSync{}, SearchCriteria: c}
	total, exact, err := syncs.Total(ctx, h.pool, f)
	if err != nil {
		return out, false, err
	}
	end := c.PageSize * c.CurrentPage
	found, next, looks, err := h.find(ctx, f, end, maxSearches)
	if err != nil {
		return out, false, err
	}
	if out.TotalCount = total; !exact {
		beyond, err := h.beyond(ctx, f, next, maxFound-len(found), maxSearches-looks)
		if err != nil {
			return out, false, err
		}
		out.TotalCount = int64(len(found) + beyond)
	}
	for _, s := range found[min(end-c.PageSize, len(found)):min(end, len(found))] {
		out.Items = append(out.Items, listedOf(s))
	}
	return out, next == nil || len(found) >= end, nil
}

// beyond counts syncs behind a page, up to a number.
func (h *handler) beyond(ctx context.Context, f syncs.Filter, next *syncs.Cursor, most, looks int) (int, error) {
	if next == nil {
		return 0, nil
	}
	f.After, f.WithoutErrors = *next, true
	found, _, _, err := h.find(ctx, f, most, looks)
	return len(found), err
}

// find lists syncs until it has as many as are wanted, or has made so many lists. next is where the next list begins; nil: there are no more.
func (h *handler) find(ctx context.Context, f syncs.Filter, wanted, most int) (found []syncs.Sync, next *syncs.Cursor, looks int, err error) {
	for next = &f.After; looks < most && len(found) < wanted && next != nil; looks++ {
		f.Limit, f.After = wanted-len(found), *next
		page, err := syncs.List(ctx, h.pool, f)
		if err != nil {
			return nil, nil, looks, err
		}
		found, next = append(found, page.Syncs...), page.Next
	}
	return found, next, looks, nil
}
