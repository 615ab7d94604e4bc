#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# install.sh builds the clients and servers in grpc-go and net/http, and installs
# grpcio, into testbed/_build/http2. It does nothing where everything is there.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build="$(dirname "$(dirname "$here")")/_build/http2"
mkdir -p "$build"
(cd "$here/truth" && CGO_ENABLED=0 go build -trimpath -o "$build/truth" .)
stamp="$build/venv.stamp"
if ! cmp -s "$here/python/requirements.txt" "$stamp"; then
  rm -rf "$build/venv"
  /usr/bin/python3 -m venv "$build/venv"
  "$build/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/python/requirements.txt"
  cp "$here/python/requirements.txt" "$stamp"
fi
