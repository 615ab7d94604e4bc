#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# build.sh DIR installs what the clients here need into DIR, unless it is there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
cd "$here/go" && go build -o "$1/go" .
if [[ ! -e "$1/python/ok" ]]; then
  python3 -m venv --clear "$1/python"
  "$1/python/bin/pip" install -q --disable-pip-version-check redis==7.0.1
  touch "$1/python/ok"
fi
if [[ ! -e "$1/node/ok" ]] || ! cmp -s "$here/node/package.json" "$1/node/package.json"; then
  rm -rf "$1/node" && mkdir "$1/node"
  cp "$here/node/package.json" "$1/node/"
  (cd "$1/node" && npm install --silent --no-audit --no-fund)
  touch "$1/node/ok"
fi
cp "$here/node/client.js" "$1/node/"
