#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# build.sh NAME...: builds services into testbed/_build/causality, each with its
# ecosystem's own tool and pinned versions. What has not changed is not built again.
set -euo pipefail
cd "$(dirname "$0")/services"
build=$(cd ../.. && pwd)/_build/causality
mkdir -p "$build"

# changed STAMP FILE...: whether the files are not those of the last build
changed() {
  local stamp=$1
  shift
  ! sha256sum "$@" | cmp -s - "$stamp"
}
# done_with STAMP FILE...: remembers them
done_with() {
  local stamp=$1
  shift
  sha256sum "$@" >"$stamp"
}

build_go() { go build -o "$build/go" ./go; }
build_goproxy() { go build -o "$build/goproxy" ./goproxy; }
build_rust() { cargo build --quiet --release --locked --manifest-path rust/Cargo.toml --target-dir "$build/rust"; }

build_python() {
  local stamp=$build/python/stamp
  changed "$stamp" python/requirements.txt || return 0
  rm -rf "$build/python"
  python3 -m venv "$build/python"
  "$build/python/bin/pip" install --quiet --disable-pip-version-check -r python/requirements.txt
  done_with "$stamp" python/requirements.txt
}

build_node() {
  local stamp=$build/node/stamp
  changed "$stamp" node/package-lock.json || return 0
  mkdir -p "$build/node"
  cp node/package.json node/package-lock.json "$build/node"
  (cd "$build/node" && npm ci --silent --no-audit --no-fund)
  done_with "$stamp" node/package-lock.json
}

build_java() {
  local stamp=$build/java/stamp
  local sources=(java/src/causality/Plan.java java/src/causality/pool/*.java)
  changed "$stamp" "${sources[@]}" || return 0
  javac -d "$build/java" "${sources[@]}"
  done_with "$stamp" "${sources[@]}"
}

build_spring() {
  local stamp=$build/spring/stamp
  local sources=(java/pom.xml java/src/causality/Plan.java java/src/causality/spring/*.java)
  changed "$stamp" "${sources[@]}" || return 0
  mvn --quiet --batch-mode -f java/pom.xml -Dtarget="$build/spring" package
  done_with "$stamp" "${sources[@]}"
}

build_clients() {
  local stamp=$build/clients/stamp
  local sources=(java/clients/pom.xml java/src/causality/Plan.java java/src/causality/clients/*.java)
  changed "$stamp" "${sources[@]}" || return 0
  mvn --quiet --batch-mode -f java/clients/pom.xml -Dtarget="$build/clients" package
  done_with "$stamp" "${sources[@]}"
}

# One build at a time: tests of several packages may ask for it.
exec 9>"$build/lock"
flock 9
for name in "$@"; do
  "build_$name"
done
