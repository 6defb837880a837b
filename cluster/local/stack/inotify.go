package stack

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// inotifyNeeded is how many inotify instances a stack takes: about 56, and 13
// for each simulated cloud cluster (counted on a running stack).
const inotifyNeeded = 82

// inotifyHint returns what to do if this user may not open as many inotify
// instances as a stack needs, and nothing if it may or if that cannot be known.
// Without the hint a component ends with a bare "too many open files".
func inotifyHint(proc string) string {
	raw, err := os.ReadFile(filepath.Join(proc, "sys/fs/inotify/max_user_instances"))
	if err != nil {
		return ""
	}
	limit, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		return ""
	}
	// Descriptors of other users cannot be read, and do not count.
	fds, err := filepath.Glob(filepath.Join(proc, "[0-9]*/fd/*"))
	if err != nil {
		return ""
	}
	used := 0
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && target == "anon_inode:inotify" {
			used++
		}
	}
	if limit-used >= inotifyNeeded {
		return ""
	}
	return "the stack may run out of inotify instances (" + strconv.Itoa(used) + " of " + strconv.Itoa(limit) +
		" are in use): stop other stacks, or raise the limit with: sysctl -w fs.inotify.max_user_instances=512"
}
