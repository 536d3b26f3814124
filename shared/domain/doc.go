// Package domain holds the rules of the product as functions from values to values: what an order's key is, what comes
// next for a sync, how an ERP's answer is read, when a retry is due, and how the log folds into the status row.
// Nothing here does I/O or reads a clock; now is an argument.
package domain
