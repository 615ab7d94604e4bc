// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"net/url"
	"strings"
	"unicode/utf8"
)

// declared is what a process was told about itself.
type declared struct {
	name, namespace, version, instance string
	// attributes are the others, in order.
	attributes []attribute
	// inKubernetes: the kubelet's variables are there.
	inKubernetes bool
}

type attribute struct{ key, value string }

const (
	// Someone else's environment goes into every batch, so it is bounded.
	maxDeclared      = 64
	maxDeclaredValue = 1024
)

// readDeclared reads the OpenTelemetry variables of a process, and the two
// JVM properties that stand for them.
func readDeclared(env, args []string, jvm bool) declared {
	var d declared
	attributes := ""
	for _, entry := range env {
		name, value, _ := strings.Cut(entry, "=")
		switch name {
		case "OTEL_SERVICE_NAME":
			d.name = value
		case "OTEL_RESOURCE_ATTRIBUTES":
			attributes = value
		case "KUBERNETES_SERVICE_HOST":
			d.inKubernetes = value != ""
		}
	}
	if jvm {
		for _, arg := range args {
			if value, ok := strings.CutPrefix(arg, "-Dotel.service.name="); ok {
				d.name = value
			} else if value, ok := strings.CutPrefix(arg, "-Dotel.resource.attributes="); ok {
				attributes = value
			}
		}
	}
	d.name = clean(d.name)
	for _, a := range parseAttributes(attributes) {
		switch {
		case a.value == "":
		case a.key == "service.name":
			if d.name == "" {
				d.name = a.value
			}
		case a.key == "service.namespace":
			d.namespace = a.value
		case a.key == "service.version":
			d.version = a.value
		case a.key == "service.instance.id":
			d.instance = a.value
		case strings.HasPrefix(a.key, "process."), strings.HasPrefix(a.key, "telemetry."):
			// Those describe an SDK's view; ours is another.
		case len(d.attributes) < maxDeclared:
			d.attributes = append(d.attributes, a)
		}
	}
	return d
}

// parseAttributes reads the value of OTEL_RESOURCE_ATTRIBUTES: key=value pairs
// with commas between, percent-encoded. As the specification wants (resource
// SDK, "Specifying resource information via an environment variable"), one
// malformed pair discards all of them; an empty one between two commas is let
// pass.
func parseAttributes(s string) []attribute {
	var list []attribute
	for pair := range strings.SplitSeq(s, ",") {
		pair = strings.TrimSpace(pair)
		if pair == "" {
			continue
		}
		rawKey, rawValue, ok := strings.Cut(pair, "=")
		if !ok {
			return nil
		}
		key, err := url.PathUnescape(strings.TrimSpace(rawKey))
		if err != nil || key == "" {
			return nil
		}
		value, err := url.PathUnescape(strings.TrimSpace(rawValue))
		if err != nil {
			return nil
		}
		list = append(list, attribute{clean(key), clean(value)})
	}
	return list
}

// clean makes a string fit for pdata, which is protobuf: valid UTF-8.
func clean(s string) string {
	s = strings.TrimSpace(strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) > maxDeclaredValue {
		s = s[:maxDeclaredValue]
		for !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
	}
	return s
}
