// SPDX-License-Identifier: Apache-2.0

package preflight

import "strings"

// Unsupported says what this host lacks, and how to get it: one sentence.
type Unsupported struct {
	Message string
	Err     error
}

func (u *Unsupported) Error() string {
	if u.Err == nil {
		return u.Message
	}
	reason, _, _ := strings.Cut(u.Err.Error(), "\n")
	return u.Message + " (" + reason + ")"
}

func (u *Unsupported) Unwrap() error { return u.Err }
