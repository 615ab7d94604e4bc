#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# install.sh installs what building and testing need on a fresh Debian 12
# machine, as root. It looks first and does nothing where everything is there.
set -euo pipefail

# command, file or module:NAME of Python's -> Debian package
needs=(
  "nginx nginx-light"
  "wrk wrk"
  "curl curl"
  "clang-16 clang-16"
  "llvm-strip-16 llvm-16"
  "clang-format-16 clang-format-16"
  "bpftool bpftool"
  "/usr/include/bpf/bpf_helpers.h libbpf-dev"
  "/usr/include/liburing.h liburing-dev"
  "/usr/include/x86_64-linux-gnu/asm/types.h|/usr/include/aarch64-linux-gnu/asm/types.h linux-libc-dev"
  "gcc gcc"
  "make make"
  "git git"
  "ip iproute2"
  "nft nftables"
  "taskset util-linux"
  "setcap libcap2-bin"
  "python3 python3-minimal"
  "node nodejs"
  "npm npm"
  "module:ensurepip python3-venv"
  "haproxy haproxy"
  "puma puma"
  "javac default-jdk-headless"
  "mvn maven"
  "/usr/lib/postgresql/15/bin/postgres|/usr/lib/postgresql/16/bin/postgres|/usr/lib/postgresql/17/bin/postgres postgresql"
  "psql postgresql-client"
  "/usr/lib/rabbitmq/bin/rabbitmq-server rabbitmq-server"
  "epmd erlang-base"
  "/usr/sbin/nats-server nats-server"
  "/usr/sbin/mosquitto mosquitto"
  "dnsmasq dnsmasq-base"
  "dig bind9-dnsutils"
  "/usr/sbin/mariadbd mariadb-server"
  "mariadb mariadb-client"
  "mariadb_config libmariadb-dev"
  "/usr/lib/python3/dist-packages/pymysql python3-pymysql"
  "/usr/lib/python3/dist-packages/MySQLdb python3-mysqldb"
  "/usr/lib/python3/dist-packages/pymongo python3-pymongo"
  "h2load nghttp2-client"
  "nghttpd nghttp2-server"
  "redis-server redis-server"
  "redis-cli redis-tools"
  "memcached memcached"
  "podman podman"
  "runc runc"
  "conmon conmon"
  "containerd containerd"
  "/usr/sbin/dockerd docker.io"
  "/usr/sbin/php-fpm8.2 php8.2-fpm"
  "prometheus prometheus"
  "systemd-analyze systemd"
)
there() { # command, module or |-separated files
  case "$1" in
    /*)
      local file
      for file in ${1//|/ }; do [[ -e "$file" ]] && return 0; done
      return 1
      ;;
    module:*) python3 -c "import ${1#module:}" 2>/dev/null ;;
    *) command -v "$1" >/dev/null || [[ -x "/usr/sbin/$1" ]] ;;
  esac
}

missing=()
for need in "${needs[@]}"; do
  read -r thing package <<<"$need"
  there "$thing" || missing+=("$package")
done
# Debian 12's Go (1.19) is too old to build this, or to fetch one that can.
there go || { echo "install.sh: Go is missing; go.mod says which version is needed" >&2; exit 1; }
# Nor can Debian 12's Rust (1.63) build the service in testbed/causality.
there cargo || { echo "install.sh: Rust is missing; 1.88 or later is needed" >&2; exit 1; }

if ((${#missing[@]} == 0)); then
  echo "install.sh: everything is there"
  exit 0
fi
if ((EUID != 0)); then
  echo "install.sh: needs root to install: ${missing[*]}" >&2
  exit 1
fi
echo "install.sh: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
export RUNLEVEL=1 # nginx shall not start a service of its own
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}"
for need in "${needs[@]}"; do
  read -r thing package <<<"$need"
  there "$thing" || { echo "install.sh: $package did not bring $thing" >&2; exit 1; }
done
