// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestUnitName(t *testing.T) {
	for unit, want := range map[string]string{
		"nginx.service":              "nginx",
		"postgresql@15-main.service": "postgresql",
		"my.app.service":             "my.app",
		`a\x2db.service`:             "a-b",
		`trailing\x.service`:         `trailing\x`,
		"@odd.service":               "@odd",
	} {
		assert.Equal(t, want, unitName(unit))
	}
	assert.True(t, isSpawner("cron.service"))
	assert.True(t, isSpawner("systemd-nspawn@web.service"))
	assert.True(t, isSpawner("pm2-root.service"))
	assert.False(t, isSpawner("nginx.service"))
}
