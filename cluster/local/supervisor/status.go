package supervisor

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"regionpool.io/provider-regionpool/cluster/local/process"
)

const probeTimeout = 2 * time.Second

// Status prints a table of the processes of the stack in a folder.
func Status(ctx context.Context, dir string, out io.Writer) error {
	s, err := readState(dir)
	if err != nil {
		return err
	}
	switch {
	case s == nil:
		_, _ = fmt.Fprintln(out, "No stack is running.")
		return nil
	case !s.Supervisor.Alive():
		_, _ = fmt.Fprintln(out, "The supervisor was killed, and the stack with it. `down` removes what is left.")
		return nil
	case !s.Ready:
		_, _ = fmt.Fprintf(out, "The stack is being started by process %d.\n", s.Supervisor.PID)
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "NAME\tPID\tPORT\tHEALTH\tRSS")
	var total int64
	for _, p := range s.Processes {
		rss := process.RSS(p.ID.PID)
		total += rss
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", p.Name, number(p.ID.PID), number(p.Port), p.health(ctx), mebibytes(rss))
	}
	_, _ = fmt.Fprintf(w, "supervisor\t%d\t-\tOK\t%s\n", s.Supervisor.PID, mebibytes(process.RSS(s.Supervisor.PID)))
	_, _ = fmt.Fprintf(w, "TOTAL\t\t\t\t%s\n", mebibytes(total+process.RSS(s.Supervisor.PID)))
	if err := w.Flush(); err != nil {
		return fmt.Errorf("cannot print status: %w", err)
	}
	return nil
}

// health says in one word how a process is.
func (p processState) health(ctx context.Context) string {
	switch {
	case !p.ID.Alive():
		return "Exited"
	case p.State == string(process.StatePaused):
		return "Paused"
	case p.Health == "":
		return "Running"
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if err := process.Probe(ctx, p.Health); err != nil {
		return "Unhealthy"
	}
	return "OK"
}

func number(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

func mebibytes(n int64) string { return strconv.FormatInt(n>>20, 10) + " MiB" }

// tellRunning says that a stack is running and how to use it.
func tellRunning(dir string, out io.Writer) error {
	s, err := readState(dir)
	if err != nil {
		return err
	}
	if s == nil || !s.Ready {
		return errTaken
	}
	_, _ = fmt.Fprintln(out, "The stack is running already.")
	tellUse(s, out)
	return nil
}

// tellUse prints lines to be pasted into a shell.
func tellUse(s *state, out io.Writer) {
	_, _ = fmt.Fprintln(out, "\nPaste one of these lines to talk to a plane:")
	for _, p := range s.Planes {
		_, _ = fmt.Fprintf(out, "  export KUBECONFIG=%q  # %s\n", p.Kubeconfig, p.Name)
	}
	_, _ = fmt.Fprintf(out, "kubectl is here:\n  alias kubectl=%q\n", s.Kubectl)
	if s.Cloud != nil {
		_, _ = fmt.Fprintf(out, "The simulated clouds: Alibaba %s, Tencent %s, faults and ledger %s\n", s.Cloud.Endpoint, s.Cloud.TencentEndpoint, s.Cloud.AdminEndpoint)
	}
}
