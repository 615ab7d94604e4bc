// SPDX-License-Identifier: Apache-2.0

package httpconv

// Settings configure the mapping; shared by all exchanges of an engine and
// immutable after the engine starts.
type Settings struct{}
