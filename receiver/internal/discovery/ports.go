// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"fmt"
	"strconv"
	"strings"
)

// Ports is a set of TCP ports.
type Ports []PortRange

// PortRange has both ends included.
type PortRange struct{ First, Last uint16 }

// Contains reports whether a port is in the set.
func (p Ports) Contains(port uint16) bool {
	for _, r := range p {
		if r.First <= port && port <= r.Last {
			return true
		}
	}
	return false
}

// ParsePorts reads "8080-8090,9000". The error is half a sentence that says
// what is wrong and how to mend it.
func ParsePorts(s string) (Ports, error) {
	var ports Ports
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			return nil, fmt.Errorf(`%q has an empty entry; write ports and ranges like "8080-8090,9000"`, s)
		}
		low, high, isRange := strings.Cut(part, "-")
		first, err := parsePort(low)
		if err != nil {
			return nil, err
		}
		last := first
		if isRange {
			if last, err = parsePort(high); err != nil {
				return nil, err
			}
		}
		if last < first {
			return nil, fmt.Errorf(`"%d-%d" is backwards; write "%d-%d"`, first, last, last, first)
		}
		ports = append(ports, PortRange{first, last})
	}
	return ports, nil
}

func parsePort(s string) (uint16, error) {
	s = strings.TrimSpace(s)
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf(`%q is not a port; write a number from 1 to 65535 or a range like "8080-8090"`, s)
	}
	return uint16(n), nil
}
