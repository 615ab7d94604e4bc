// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
)

func TestReadDeclared(t *testing.T) {
	for name, test := range map[string]struct {
		env, args []string
		want      declared
	}{
		"nothing": {},
		"name":    {env: []string{"OTEL_SERVICE_NAME=cart"}, want: declared{name: "cart"}},
		"name beats attribute, in any order": {
			env:  []string{"OTEL_RESOURCE_ATTRIBUTES=service.name=b,service.version=1", "OTEL_SERVICE_NAME=a"},
			want: declared{name: "a", version: "1"},
		},
		"empty name is none": {env: []string{"OTEL_SERVICE_NAME=", "OTEL_RESOURCE_ATTRIBUTES=service.name=b"}, want: declared{name: "b"}},
		"all": {
			env:  []string{"OTEL_RESOURCE_ATTRIBUTES= service.namespace = shop ,service.instance.id=i%2C1,deployment.environment.name=pr%C3%B6d,process.pid=9,telemetry.sdk.name=x"},
			want: declared{namespace: "shop", instance: "i,1", attributes: []attribute{{"deployment.environment.name", "pröd"}}},
		},
		"equals in value":     {env: []string{"OTEL_RESOURCE_ATTRIBUTES=a=b=c"}, want: declared{attributes: []attribute{{"a", "b=c"}}}},
		"plus is a plus":      {env: []string{"OTEL_RESOURCE_ATTRIBUTES=a=b+c"}, want: declared{attributes: []attribute{{"a", "b+c"}}}},
		"trailing comma":      {env: []string{"OTEL_RESOURCE_ATTRIBUTES=a=b,"}, want: declared{attributes: []attribute{{"a", "b"}}}},
		"bad escape discards": {env: []string{"OTEL_RESOURCE_ATTRIBUTES=service.name=x,a=%zz"}},
		"no equals discards":  {env: []string{"OTEL_RESOURCE_ATTRIBUTES=service.name=x,a"}},
		"kubernetes":          {env: []string{"KUBERNETES_SERVICE_HOST=10.0.0.1"}, want: declared{inKubernetes: true}},
		"jvm properties win": {
			env:  []string{"OTEL_SERVICE_NAME=env"},
			args: []string{"java", "-Dotel.service.name=jvm", "-Dotel.resource.attributes=service.version=3", "Main"},
			want: declared{name: "jvm", version: "3"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, readDeclared(test.env, test.args, test.args != nil))
		})
	}
}

func TestDeclaredIsBounded(t *testing.T) {
	d := readDeclared([]string{"OTEL_SERVICE_NAME=" + strings.Repeat("ü", 5000), "OTEL_RESOURCE_ATTRIBUTES=" + strings.Repeat("a=b,", 5000)}, nil, false)
	assert.LessOrEqual(t, len(d.name), maxDeclaredValue)
	assert.True(t, utf8.ValidString(d.name))
	assert.Len(t, d.attributes, maxDeclared)
	assert.True(t, utf8.ValidString(clean("a\xffb")))
}
