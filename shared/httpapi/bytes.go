package httpapi

import (
	"net/http"
	"strconv"
)

// BytesType is the Content-Type of what others wrote, answered byte for byte.
const BytesType = "application/octet-stream"

// WriteBytesHead begins an answer of so many bytes that others wrote. A browser keeps them in a file in place of showing them, and no cache
// keeps them, as they may be a customer's data.
func WriteBytesHead(w http.ResponseWriter, length int) {
	h := w.Header()
	h.Set("Content-Type", BytesType)
	h.Set("Content-Disposition", "attachment")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(length))
	w.WriteHeader(http.StatusOK)
}
