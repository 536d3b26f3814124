//go:build !linux && !darwin

package devpg

// freeMemory does nothing: here shared memory goes with the processes that hold it.
func (s *Server) freeMemory() {}
