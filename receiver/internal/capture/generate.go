// SPDX-License-Identifier: Apache-2.0

package capture

// The objects are committed so that importing the receiver needs no compiler.
// clang-16 and the libbpf headers of Debian 12 reproduce them bit for bit.
//go:generate go tool -modfile=../../../distribution/tools.mod bpf2go -cc clang-16 -strip llvm-strip-16 -target amd64,arm64 -type policy -type runtime -type jvm capture ../../../bpf/capture.bpf.c -- -I../../../bpf -O2 -mcpu=v3 -Wall -Werror
//go:generate go tool -modfile=../../../distribution/tools.mod bpf2go -cc clang-16 -strip llvm-strip-16 -target amd64,arm64 -no-global-types propagation ../../../bpf/propagation.bpf.c -- -I../../../bpf -O2 -mcpu=v3 -Wall -Werror
