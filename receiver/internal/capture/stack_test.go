// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Kernels up to 6.12 count the stacks of functions that call each other together, each rounded
// up to 32 bytes, and refuse more than 512 (check_max_stack_depth); newer ones may be more
// generous, so that they do not tell.
func TestStackDepth(t *testing.T) {
	const most = 512
	for name, load := range map[string]func() (*ebpf.CollectionSpec, error){"capture": loadCapture, "propagation": loadPropagation} {
		spec, err := load()
		require.NoError(t, err)
		for program, p := range spec.Programs {
			functions := functionsOf(p.Instructions)
			require.NotEmpty(t, functions)
			depth, path := deepest(functions, p.Instructions[0].Symbol())
			assert.Positive(t, depth, "%s, %s", name, program)
			assert.LessOrEqual(t, depth, most, "%s, %s: %s", name, program, strings.Join(path, " > "))
		}
	}
}

type function struct {
	stack int // bytes
	calls []string
}

// functionsOf are those of a program, by name.
func functionsOf(program asm.Instructions) map[string]*function {
	all := map[string]*function{}
	var f *function
	frame := asm.R0 // what a frame pointer has been copied to by the instruction before
	for _, ins := range program {
		if name := ins.Symbol(); name != "" {
			f = &function{}
			all[name] = f
		}
		use := func(offset int64) { f.stack = max(f.stack, int(-offset)) }
		class, op := ins.OpCode.Class(), ins.OpCode
		switch {
		case class.IsStore() && ins.Dst == asm.RFP, class.IsLoad() && ins.Src == asm.RFP:
			use(int64(ins.Offset))
		case class.IsALU() && op.ALUOp() == asm.Add && op.Source() == asm.ImmSource && ins.Dst == frame && frame != asm.R0:
			use(ins.Constant)
		case ins.IsFunctionReference():
			f.calls = append(f.calls, ins.Reference())
		}
		frame = asm.R0
		if class.IsALU() && op.ALUOp() == asm.Mov && op.Source() == asm.RegSource && ins.Src == asm.RFP {
			frame = ins.Dst
		}
	}
	return all
}

// deepest is the most stack that a function needs with all that it calls, and which those are.
func deepest(all map[string]*function, name string) (depth int, path []string) {
	f := all[name]
	if f == nil {
		return 0, nil
	}
	calls := slices.Compact(slices.Sorted(slices.Values(f.calls)))
	for _, call := range calls {
		if d, p := deepest(all, call); d > depth {
			depth, path = d, p
		}
	}
	const unit = 32
	return depth + max(unit, (f.stack+unit-1)/unit*unit), append([]string{name}, path...)
}
