//go:build !linux

package process

import "syscall"

// forkLoop runs the calls.
func forkLoop(calls <-chan func(), started chan<- struct{}) {
	close(started)
	for call := range calls {
		call()
	}
}

// childAttr cannot ask for a parent death signal: only Linux has it. Children
// of a parent that is killed can then only be found by a record of them.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
