package audit

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The file has no name while it is open, so that a process that is killed leaves none; and its place is TMPDIR's.
func TestStoreLeavesNoFile(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	s := &store{}
	n, err := s.put(make([]byte, chunkBytes))
	require.NoError(t, err)
	require.NotNil(t, s.file)
	require.Equal(t, folder, filepath.Dir(s.file.Name()))
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Empty(t, left, "a kill at this moment leaves none")
	require.NoError(t, s.take(n, make([]byte, chunkBytes)))
	require.NoError(t, s.close())
	left, err = os.ReadDir(folder)
	require.NoError(t, err)
	require.Empty(t, left)

	t.Setenv("TMPDIR", filepath.Join(folder, "nowhere"))
	_, err = (&store{}).put(make([]byte, chunkBytes))
	require.ErrorContains(t, err, "TMPDIR says where")
}
