// Package ports hands out free loopback ports. Picking a port and letting it go
// again, as is common, races with every other program that does the same; here
// a port stays reserved, by a lock that the kernel drops when this program
// ends, so parallel stacks and parallel tests never pick the same one.
package ports

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// The range lies below the ports the kernel gives to outgoing connections.
const (
	first = 20000
	last  = 31999
)

var (
	mu   sync.Mutex
	held = map[int]*os.File{}
)

// Reserve returns a loopback port that is free and stays ours until Release, or
// until this program ends.
func Reserve() (int, error) {
	dir := filepath.Join(os.TempDir(), "provider-regionpool-ports-"+strconv.Itoa(os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, fmt.Errorf("cannot create folder of port locks: %w", err)
	}

	mu.Lock()
	defer mu.Unlock()
	size := last - first + 1
	offset := rand.IntN(size)
	for i := range size {
		port := first + (offset+i)%size
		if _, ok := held[port]; ok || !free(port) {
			continue
		}
		lock, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(port)), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return 0, fmt.Errorf("cannot open lock of port %d: %w", port, err)
		}
		if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			_ = lock.Close()
			continue
		}
		held[port] = lock
		return port, nil
	}
	return 0, errors.New("cannot reserve a port: all are in use")
}

// ReserveN reserves n ports.
func ReserveN(n int) ([]int, error) {
	out := make([]int, 0, n)
	for range n {
		p, err := Reserve()
		if err != nil {
			Release(out...)
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// Release gives ports back.
func Release(ports ...int) {
	mu.Lock()
	defer mu.Unlock()
	for _, p := range ports {
		if lock, ok := held[p]; ok {
			_ = lock.Close()
			delete(held, p)
		}
	}
}

func free(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	_ = l.Close()
	return true
}
