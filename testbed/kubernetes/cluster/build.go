// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
)

// Build compiles the servers, unless that is done already, and returns the program. It
// takes three minutes on two CPUs.
func Build() (string, error) {
	_, file, _, _ := runtime.Caller(0)
	source := filepath.Join(filepath.Dir(filepath.Dir(file)), "apiserver")
	directory := filepath.Join(filepath.Dir(filepath.Dir(filepath.Dir(file))), "_build", "kubernetes")
	hash := sha256.New()
	for _, name := range []string{"go.mod", "go.sum", "main.go"} {
		text, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			return "", err
		}
		hash.Write(text)
	}
	program := filepath.Join(directory, "kubernetes-"+hex.EncodeToString(hash.Sum(nil)[:6]))
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(directory, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	// Beside its place first: a build that is interrupted leaves nothing there.
	unfinished := program + ".new"
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", unfinished, ".")
	cmd.Dir, cmd.Env = source, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build kube-apiserver: %w\n%s", err, out)
	}
	return program, os.Rename(unfinished, program)
}
