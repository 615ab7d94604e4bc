#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# build.sh: builds the clients into testbed/_build/protocols-mysql with pinned versions.
# What has not changed is not built again.
set -euo pipefail
cd "$(dirname "$0")/client"
build=$(cd ../../.. && pwd)/_build/protocols-mysql
mkdir -p "$build"

(cd go && go build -o "$build/go" .)
if [[ ! -e $build/bulk || bulk.c -nt $build/bulk ]]; then
  # shellcheck disable=SC2046
  gcc -O2 -o "$build/bulk" bulk.c $(mariadb_config --cflags --libs)
fi
if ! sha256sum node/package-lock.json | cmp -s - "$build/stamp"; then
  cp node/package.json node/package-lock.json "$build"
  (cd "$build" && npm ci --silent --no-audit --no-fund)
  sha256sum node/package-lock.json >"$build/stamp"
fi
cp node/client.js "$build"
