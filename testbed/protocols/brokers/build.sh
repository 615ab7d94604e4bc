#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# build.sh builds the clients of the ground truth of AMQP, NATS and MQTT into
# testbed/_build/brokers, with pinned versions. What has not changed is not built again.
set -euo pipefail
cd "$(dirname "$0")"
build=$(cd ../.. && pwd)/_build/brokers
mkdir -p "$build"
(cd client && go build -o "$build/client" .)
stamp=$build/python/stamp
if ! sha256sum requirements.txt | cmp -s - "$stamp"; then
  rm -rf "$build/python"
  python3 -m venv "$build/python"
  "$build/python/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt
  sha256sum requirements.txt >"$stamp"
fi
