package stack

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

func TestInotifyHint(t *testing.T) {
	cases := map[string]struct {
		reason string
		limit  string
		used   int
		want   bool
	}{
		"Enough":  {reason: "Linux's default serves one stack.", limit: "128\n", used: 10},
		"Scarce":  {reason: "A second stack would not fit.", limit: "128\n", used: 60, want: true},
		"Unknown": {reason: "Where there is no such limit there is nothing to say.", used: 60},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			proc := t.TempDir()
			write := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			if tc.limit != "" {
				write(os.MkdirAll(filepath.Join(proc, "sys/fs/inotify"), 0o755))
				write(os.WriteFile(filepath.Join(proc, "sys/fs/inotify/max_user_instances"), []byte(tc.limit), 0o600))
			}
			fds := filepath.Join(proc, "1", "fd")
			write(os.MkdirAll(fds, 0o755))
			write(os.Symlink("socket:[1]", filepath.Join(fds, "other")))
			for i := range tc.used {
				write(os.Symlink("anon_inode:inotify", filepath.Join(fds, strconv.Itoa(i))))
			}
			if got := inotifyHint(proc); (got != "") != tc.want {
				t.Errorf("\nReason: %s\ninotifyHint(...): got %q", tc.reason, got)
			}
		})
	}
}
