package process

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
)

// Run runs a command to its end, as a child that does not outlive this program
// either. It returns what the command wrote. Env is added to the environment of
// this process.
func Run(cmd *exec.Cmd, env []string) ([]byte, error) {
	var out bytes.Buffer
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = childAttr()
	if err := spawn(cmd); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", cmd.Path, err)
	}
	err := cmd.Wait()
	return out.Bytes(), err
}
