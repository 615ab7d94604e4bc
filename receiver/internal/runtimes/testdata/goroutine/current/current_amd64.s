// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// func G() uintptr
TEXT ·G(SB), NOSPLIT, $0-8
	MOVQ (TLS), AX
	MOVQ AX, ret+0(FP)
	RET

// func Register() uintptr
TEXT ·Register(SB), NOSPLIT, $0-8
	MOVQ R14, ret+0(FP)
	RET

// func ThreadPointer() uintptr
TEXT ·ThreadPointer(SB), NOSPLIT, $8-8
	MOVQ $0x1003, DI // ARCH_GET_FS
	LEAQ base-8(SP), SI
	MOVQ $158, AX // arch_prctl
	SYSCALL
	MOVQ base-8(SP), AX
	MOVQ AX, ret+0(FP)
	RET
