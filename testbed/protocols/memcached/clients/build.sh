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
  "$1/python/bin/pip" install -q --disable-pip-version-check pymemcache==4.0.0 python-binary-memcached==0.31.4
  touch "$1/python/ok"
fi
