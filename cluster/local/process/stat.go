package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// An ID names a process for good: the kernel reuses a pid, but not together
// with the moment the process was started.
type ID struct {
	PID int `json:"pid"`

	// Started is the start time of the process in clock ticks since boot.
	Started uint64 `json:"started"`
}

// IdentityOf returns the identity of a running process.
func IdentityOf(pid int) (ID, error) {
	f, err := statFields(pid)
	if err != nil {
		return ID{}, err
	}
	started, err := strconv.ParseUint(f[19], 10, 64)
	if err != nil {
		return ID{}, fmt.Errorf("cannot parse start time of process %d: %w", pid, err)
	}
	return ID{PID: pid, Started: started}, nil
}

// Alive says whether that very process still runs. A zombie does not.
func (id ID) Alive() bool {
	f, err := statFields(id.PID)
	if err != nil || f[0] == "Z" || f[0] == "X" {
		return false
	}
	return f[19] == strconv.FormatUint(id.Started, 10)
}

// RSS returns the resident memory of a process in bytes, or zero.
func RSS(pid int) int64 {
	f, err := statFields(pid)
	if err != nil {
		return 0
	}
	pages, err := strconv.ParseInt(f[21], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// statFields returns the fields of /proc/PID/stat from the third, the state,
// on. The second, the command in parentheses, may itself hold spaces.
func statFields(pid int) ([]string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, fmt.Errorf("cannot read state of process %d: %w", pid, err)
	}
	_, rest, _ := strings.Cut(string(b[strings.LastIndexByte(string(b), ')'):]), ")")
	f := strings.Fields(rest)
	if len(f) < 22 {
		return nil, fmt.Errorf("cannot parse state of process %d", pid)
	}
	return f, nil
}
