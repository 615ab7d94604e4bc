#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# build.sh: builds server and clients into testbed/_build/protocols-mongodb with pinned
# versions. What has not changed is not built again.
set -euo pipefail
cd "$(dirname "$0")"
build=$(cd ../.. && pwd)/_build/protocols-mongodb
mkdir -p "$build/server"

(cd client/go && go build -o "$build/go" .)
if ! sha256sum client/node/package-lock.json | cmp -s - "$build/stamp"; then
  cp client/node/package.json client/node/package-lock.json "$build"
  (cd "$build" && npm ci --silent --no-audit --no-fund)
  sha256sum client/node/package-lock.json >"$build/stamp"
fi
cp client/node/client.js "$build"
if ! sha256sum server/pom.xml server/src/Server.java | cmp -s - "$build/server/stamp"; then
  mvn --quiet --batch-mode -f server/pom.xml dependency:copy-dependencies -DoutputDirectory="$build/server/lib"
  rm -rf server/target
  javac -cp "$build/server/lib/*" -d "$build/server" server/src/Server.java
  sha256sum server/pom.xml server/src/Server.java >"$build/server/stamp"
fi
