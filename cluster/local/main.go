// Command local runs the real stack of the project on one machine, without
// containers: see the package stack.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"regionpool.io/provider-regionpool/cluster/local/binaries"
	"regionpool.io/provider-regionpool/cluster/local/demo"
	"regionpool.io/provider-regionpool/cluster/local/progress"
	"regionpool.io/provider-regionpool/cluster/local/stack"
	"regionpool.io/provider-regionpool/cluster/local/supervisor"
)

const usage = `Runs the real stack on this machine, as plain processes.

  up        start the stack and leave it running
  down      stop it
  status    show its processes
  demo      tell the story of a region that survives a surge
  binaries  only build the pinned programs into the user's cache folder

Flags of up, down and status, after the command:
`

func main() {
	if err := run(os.Args[1:]); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
}

func run(args []string) error {
	command := ""
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	if command == supervisor.Command && len(args) == 1 {
		return supervisor.Supervise(args[0])
	}

	var f flags
	fs := f.set()
	if command == "" || command == "help" {
		fs.Usage()
		return flag.ErrHelp
	}
	if err := fs.Parse(args); err != nil {
		return flag.ErrHelp
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	dir, err := f.dir()
	if err != nil {
		return err
	}

	switch command {
	case "up":
		o, err := f.options(dir)
		if err != nil {
			return err
		}
		return supervisor.Up(ctx, o, os.Stdout)
	case "down":
		return supervisor.Down(ctx, dir, os.Stdout)
	case "status":
		return supervisor.Status(ctx, dir, os.Stdout)
	case "demo":
		return demo.Run(ctx, demo.Options{})
	case "binaries":
		_, err := binaries.Ensure(ctx, filepath.Join(dir, "binaries"), progress.New(os.Stdout))
		return err
	default:
		fs.Usage()
		return fmt.Errorf("unknown command %q", command)
	}
}

// flags of the commands.
type flags struct {
	name    string
	members int
	nodes   int
	cpu     string
	memory  string
	pods    string
}

func (f *flags) set() *flag.FlagSet {
	fs := flag.NewFlagSet("local", flag.ContinueOnError)
	fs.StringVar(&f.name, "name", "default", "name of the stack; stacks of different names run side by side")
	fs.IntVar(&f.members, "members", 2, "number of self-built clusters, named idc-a, idc-b and so on")
	fs.IntVar(&f.nodes, "nodes", 4, "number of nodes of each of them")
	fs.StringVar(&f.cpu, "node-cpu", "8", "CPU of a node")
	fs.StringVar(&f.memory, "node-memory", "32Gi", "memory of a node")
	fs.StringVar(&f.pods, "node-pods", "110", "pods that fit on a node")
	fs.Usage = func() {
		_, _ = fmt.Fprint(fs.Output(), usage)
		fs.PrintDefaults()
	}
	return fs
}

// dir is the folder of the named stack.
func (f *flags) dir() (string, error) {
	if f.name == "" || f.name != filepath.Base(f.name) || f.name == "." || f.name == ".." {
		return "", fmt.Errorf("the name %q is not valid", f.name)
	}
	cache, err := binaries.CacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "run", f.name), nil
}

func (f *flags) options(dir string) (stack.Options, error) {
	const alphabet = "abcdefghijklmnopqrstuvwxyz"
	if f.members < 0 || f.members > len(alphabet) || f.nodes < 0 {
		return stack.Options{}, fmt.Errorf("there can be 0 to %d members, with any number of nodes", len(alphabet))
	}
	o := stack.Options{
		Dir: dir, Members: []stack.Member{},
		Parts: map[stack.Part]stack.PartOptions{stack.Provider: {Args: stack.Hurried(stack.Provider)}},
	}
	for _, letter := range alphabet[:f.members] {
		m, err := stack.NewMember("idc-"+string(letter), f.nodes, f.cpu, f.memory, f.pods)
		if err != nil {
			return stack.Options{}, err
		}
		o.Members = append(o.Members, m)
	}
	return o, nil
}
