// SPDX-License-Identifier: Apache-2.0

package propagation

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Node is a network namespace that stands for a host.
type Node struct {
	// Name of the namespace. Processes started here have it in PROPAGATION_NODE,
	// by which collectors select them.
	Name string
	// Address is the node's own, Address6 its IPv6 one.
	Address, Address6 string
	// Device is its end of the veth pair.
	Device string
}

// nodeVariable is in the environment of all processes of a node.
const nodeVariable = "PROPAGATION_NODE"

// NewNodes makes two that are joined.
func NewNodes() (a, b *Node, err error) {
	tag := fmt.Sprintf("otp%d", os.Getpid()%100000)
	a = &Node{Name: tag + "a", Address: "10.211.0.1", Address6: "fd11:7e57::1", Device: tag + "a"}
	b = &Node{Name: tag + "b", Address: "10.211.0.2", Address6: "fd11:7e57::2", Device: tag + "b"}
	defer func() {
		if err != nil {
			a.Close()
			b.Close()
		}
	}()
	commands := []string{
		"ip netns add " + a.Name,
		"ip netns add " + b.Name,
		"ip link add " + a.Device + " netns " + a.Name + " type veth peer name " + b.Device + " netns " + b.Name,
	}
	for _, n := range []*Node{a, b} {
		in := "ip -n " + n.Name + " "
		commands = append(commands,
			in+"addr add "+n.Address+"/24 dev "+n.Device,
			in+"addr add "+n.Address6+"/64 dev "+n.Device+" nodad",
			in+"link set "+n.Device+" up",
			in+"link set lo up",
		)
	}
	for _, c := range commands {
		if err := command(c); err != nil {
			return a, b, err
		}
	}
	return a, b, nil
}

func command(line string) error {
	argv := strings.Fields(line)
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", line, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Close removes the namespace, and with it its end of the pair.
func (n *Node) Close() { _ = command("ip netns del " + n.Name) }

// Run runs a command line in the node's network, not as a process of the node.
func (n *Node) Run(line string) error { return command("ip netns exec " + n.Name + " " + line) }

// Filter puts nftables rules into force in the node's network.
func (n *Node) Filter(rules string) error {
	nft := exec.Command("ip", "netns", "exec", n.Name, "nft", "-f", "-")
	nft.Stdin = strings.NewReader(rules)
	if out, err := nft.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, out)
	}
	return nil
}

// Get sends a request to a server on the node, from a process that is not of any, and
// returns all that is answered.
func (n *Node) Get(address, request string) (answer string, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends in the other namespace
		var c net.Conn
		if err = n.enter(); err != nil {
			return
		}
		if c, err = net.Dial("tcp", address); err != nil {
			return
		}
		defer c.Close()
		if _, err = io.WriteString(c, request); err != nil {
			return
		}
		var b []byte
		b, err = io.ReadAll(c)
		answer = string(b)
	}()
	<-done
	return answer, err
}

// enter takes the calling thread into the node's network namespace.
func (n *Node) enter() error {
	f, err := os.Open("/run/netns/" + n.Name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter %s: %w", n.Name, err)
	}
	return nil
}

// Process is a program that runs on a node.
type Process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr strings.Builder
	ended  func() // lets the thread go that started it
}

// Start runs a program as a process of the node: at once, so that there is nothing
// else with its number that collectors look at.
func (n *Node) Start(argv ...string) (*Process, error) {
	p := &Process{cmd: exec.Command(argv[0], argv[1:]...)}
	p.cmd.Env = append(os.Environ(), nodeVariable+"="+n.Name, "PYTHONDONTWRITEBYTECODE=1")
	p.cmd.Stderr = &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.stdout = bufio.NewReader(out)
	started, ended := make(chan error), make(chan struct{})
	p.ended = sync.OnceFunc(func() { close(ended) })
	go func() {
		// Pdeathsig is sent when the thread ends: with the program. It is in the
		// other network then, and never unlocked.
		runtime.LockOSThread()
		err := n.enter()
		if err == nil {
			err = p.cmd.Start()
		}
		started <- err
		if err == nil {
			<-ended
		}
	}()
	return p, <-started
}

// Line is the next one on the process's standard output.
func (p *Process) Line() (string, error) {
	line, err := p.stdout.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", p.cmd, err, p.stderr.String())
	}
	return strings.TrimSuffix(line, "\n"), nil
}

// Go tells a client to begin.
func (p *Process) Go() error {
	_, err := io.WriteString(p.stdin, "\n")
	return err
}

// Result waits for a client's.
func (p *Process) Result() (r Result, err error) {
	line, err := p.Line()
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		return r, err
	}
	return r, p.wait()
}

// PID of the program.
func (p *Process) PID() int { return p.cmd.Process.Pid }

func (p *Process) wait() error {
	defer p.ended()
	return p.cmd.Wait()
}

// Kill ends the process.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	_ = p.wait()
}

// Result is what peer prints.
type Result struct {
	Requests, Failed, WrongHead, WrongBody, Injected, Misplaced int
	First                                                       string
	Nanoseconds                                                 int64
}

// Err is nil if nothing arrived other than it was sent.
func (r *Result) Err() error {
	if r.Failed+r.WrongHead+r.WrongBody+r.Misplaced == 0 {
		return nil
	}
	return fmt.Errorf("%+v", *r)
}

// Elapsed time of all requests.
func (r *Result) Elapsed() time.Duration { return time.Duration(r.Nanoseconds) }
