package testkit

import "golang.org/x/sys/unix"

// inMemory is where Linux keeps a file system in memory for programs to use.
const inMemory = "/dev/shm"

// memoryNeeded is how much must be free there, in bytes: a few packages at a time, each with a Postgres and a broker or two.
const memoryNeeded = 4 << 30

// fastDir is a folder whose files stay in memory, or "" where there is none with enough room, or none that lets programs run.
//
// A database is some 300 files, and each test makes one and drops it. ext4 does not hand out the inode of a deleted file for
// some minutes, and looks at each such inode again for each new file: on a disk that took half of the CPU time of api's
// tests, and a quarter of the whole suite's.
func fastDir() string {
	var at unix.Statfs_t
	if err := unix.Statfs(inMemory, &at); err != nil || at.Type != unix.TMPFS_MAGIC {
		return ""
	}
	if at.Flags&unix.ST_NOEXEC != 0 || at.Bavail*uint64(at.Bsize) < memoryNeeded { //nolint:gosec // a block's size is positive
		return ""
	}
	return inMemory
}
