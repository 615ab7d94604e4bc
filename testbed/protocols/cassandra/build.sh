#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# build.sh: the server and the clients of the test of CQL, into
# testbed/_build/protocols-cassandra: Apache Cassandra's jars from Maven Central, a Python
# environment with its driver, and the Go client of ./client. What has not changed is not
# built again.
set -euo pipefail
cd "$(dirname "$0")"
build=$(cd ../.. && pwd)/_build/protocols-cassandra
mkdir -p "$build"

# changed STAMP FILE...: whether the files are not those of the last build
changed() {
  local stamp=$1
  shift
  ! sha256sum "$@" | cmp -s - "$stamp"
}

if changed "$build/jars.stamp" pom.xml; then
  rm -rf "$build/jars"
  mvn --quiet --batch-mode dependency:copy-dependencies -DoutputDirectory="$build/jars" -DincludeScope=runtime
  sha256sum pom.xml >"$build/jars.stamp"
fi
if changed "$build/python.stamp" requirements.txt; then
  rm -rf "$build/python"
  python3 -m venv "$build/python"
  "$build/python/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt
  sha256sum requirements.txt >"$build/python.stamp"
fi
(cd client && go build -o "$build/client" .)
