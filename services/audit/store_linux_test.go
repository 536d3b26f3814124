package audit

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Who fills the disk is told where that is and what to do. Linux has a disk that is always full.
func TestAFullDiskIsSaidSo(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	require.NoError(t, err)
	defer func() { _ = full.Close() }()
	s := &store{file: full}
	_, err = s.put(make([]byte, chunkBytes))
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.ErrorContains(t, err, "the disk of /dev is full: ")
	require.ErrorContains(t, err, "; make room, or name another folder by TMPDIR: ")
}
