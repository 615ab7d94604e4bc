#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# run.sh "PACKAGE ..." COMMAND ...
#
# Runs the command on the packages, and on those that fail once more. What fails twice
# fails; what needed a second try is told at the end, because it has a cause, too.
set -uo pipefail
cd "$(dirname "$0")/.."

read -ra packages <<<"$1"
shift
output=$(mktemp)
trap 'rm -f "$output"' EXIT

"$@" "${packages[@]}" | tee "$output" && exit 0
mapfile -t failed < <(sed -n 's/^FAIL[[:space:]]\+\([^[:space:]]*\/[^[:space:]]*\).*/\1/p' "$output" | sort -u)
# Nothing ran: it does not compile, or the command is wrong.
((${#failed[@]})) || exit 1
echo "failed, and tried once more: ${failed[*]}"
"$@" "${failed[@]}" || exit 1
echo "passed at the second try only: ${failed[*]}"
