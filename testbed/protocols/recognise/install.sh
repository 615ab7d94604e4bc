#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# install.sh installs the clients and servers into testbed/_build/recognise. It does
# nothing where everything is there.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build="$(dirname "$(dirname "$here")")/_build/recognise"
mkdir -p "$build"
stamp="$build/venv.stamp"
if ! cmp -s "$here/python/requirements.txt" "$stamp"; then
  rm -rf "$build/venv"
  /usr/bin/python3 -m venv "$build/venv"
  "$build/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/python/requirements.txt"
  cp "$here/python/requirements.txt" "$stamp"
fi
