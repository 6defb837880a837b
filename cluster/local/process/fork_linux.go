package process

import (
	"runtime"
	"syscall"
)

// forkLoop runs the calls on one OS thread that lives as long as the program.
func forkLoop(calls <-chan func(), started chan<- struct{}) {
	runtime.LockOSThread()
	close(started)
	for call := range calls {
		call()
	}
}

// childAttr makes the kernel kill the child when this program dies, and keeps
// the terminal's Ctrl-C away from it: the program decides how to end children.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
