// SPDX-License-Identifier: Apache-2.0

package runtimes

import "debug/elf"

// haproxyFunctions have had these arguments since HAProxy 1.7.
var haproxyFunctions = map[string]FunctionName{
	"frontend_accept": HAProxyAccept, "process_stream": HAProxyProcess,
}

// haproxy looks for what makes streams and what runs them. HAProxy exports its functions
// for the sake of its own backtraces.
func (o *object) haproxy(f *elf.File, symbols []elf.Symbol) {
	var functions []Function
	for i := range symbols {
		name, ok := haproxyFunctions[symbols[i].Name]
		if !ok || symbols[i].Section == elf.SHN_UNDEF {
			continue
		}
		if at, ok := watchable(f, symbols[i].Value); ok {
			functions = append(functions, Function{Name: name, Offset: at})
		}
	}
	if len(functions) == len(haproxyFunctions) {
		o.functions = append(o.functions, functions...)
	}
}
