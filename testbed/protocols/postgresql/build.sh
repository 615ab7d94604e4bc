#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# build.sh puts the clients of this test into testbed/_build/protocols-postgresql: pgx for
# Go, psycopg and psycopg2 for Python, pg for Node, in the versions of the files beside it.
# It does nothing where they are there already.
set -euo pipefail
cd "$(dirname "$0")"
build="$PWD/../../_build/protocols-postgresql"
mkdir -p "$build"
key="$(cat build.sh client/go.* client/*.go python/requirements.txt node/package*.json | sha256sum)"
[[ -e "$build/key" && "$(cat "$build/key")" == "$key" ]] && exit 0

(cd client && CGO_ENABLED=0 go build -o "$build/client" .)
[[ -x "$build/python/bin/python" ]] || python3 -m venv "$build/python"
"$build/python/bin/pip" install --quiet --disable-pip-version-check -r python/requirements.txt
mkdir -p "$build/node"
cp node/package.json node/package-lock.json "$build/node/"
(cd "$build/node" && npm ci --silent --no-audit --no-fund)
echo "$key" >"$build/key"
