#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# run.sh runs the tests of receiver/internal/capture on other kernels: Debian's
# cloud kernels under QEMU, without KVM. Arguments are versions (default: 6.1 and
# 6.12; 5.10 is known to hang with two CPUs, SMP=1 makes it one). As root, on Debian 12; installs what it needs.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=$PWD/testbed/_build/kernels
mkdir -p "$build"

missing=()
for need in qemu-system-x86_64:qemu-system-x86 cpio:cpio busybox:busybox-static; do
  command -v "${need%%:*}" >/dev/null || missing+=("${need##*:}")
done
if ((${#missing[@]})); then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# 5.10 is the kernel of the release before; a package list of its own finds it.
bullseye=("-oDir::Etc::sourcelist=/dev/null" "-oDir::Etc::sourceparts=$build/sources" "-oDir::State::lists=$build/lists")
apt_for() {
  if [[ $1 == 5.10 ]]; then
    mkdir -p "$build/sources" "$build/lists/partial"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bullseye main" >"$build/sources/bullseye.list"
    [[ -n $(find "$build/lists" -maxdepth 1 -type f -name '*Packages*' -print -quit) ]] || apt-get "${bullseye[@]}" update -qq
    apt=("${bullseye[@]}")
  else
    apt=(-oquiet=1)
  fi
}

kernel() { # version -> path of vmlinuz
  local dir=$build/$1 package
  if ! compgen -G "$dir/boot/vmlinuz-*" >/dev/null; then
    apt_for "$1"
    package=$(apt-cache "${apt[@]}" search --names-only "^linux-image-${1//./\\.}\\.[0-9][.+0-9a-z-]*-cloud-amd64$" |
      cut -d' ' -f1 | grep -v dbg | sort -V | tail -n 1)
    [[ -n $package ]] || { echo "run.sh: no package for kernel $1" >&2; return 1; }
    mkdir -p "$dir"
    (cd "$dir" && apt-get "${apt[@]}" -oAPT::Sandbox::User=root download -qq "$package" >/dev/null && dpkg -x ./*.deb . && rm ./*.deb)
  fi
  compgen -G "$dir/boot/vmlinuz-*"
}

CGO_ENABLED=0 go test -c -o "$build/capture.test" ./receiver/internal/capture
root=$build/root
rm -rf "$root"
mkdir -p "$root"/{bin,proc,sys,tmp,dev}
cp "$(command -v busybox)" "$root/bin/busybox"
ln -s busybox "$root/bin/sleep"
cp "$build/capture.test" "$root/capture.test"
cat >"$root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox mount -t proc none /proc
/bin/busybox mount -t sysfs none /sys
/bin/busybox mount -t cgroup2 none /sys/fs/cgroup
/bin/busybox mount -t devtmpfs none /dev
/bin/busybox mount -t tmpfs none /tmp
/bin/busybox ip link set lo up
export PATH=/bin
echo "KERNEL $(/bin/busybox uname -r)"
/capture.test -test.v -test.timeout=600s && echo "CAPTURE OK" || echo "CAPTURE FAILED"
/bin/busybox poweroff -f
INIT
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$build/initramfs.gz"

failed=0
for version in "${@:-6.1 6.12}"; do
  for v in $version; do
    image=$(kernel "$v") || { failed=1; continue; }
    # One thread for all CPUs: with one each, kernels trip over instructions that they
    # patch while another CPU runs them (tracepoints being switched on).
    timeout --foreground -k 5 900 qemu-system-x86_64 -accel tcg,thread=single -cpu max -smp ${SMP:-2} -m 1024 -nographic -no-reboot \
      -kernel "$image" -initrd "$build/initramfs.gz" -append "console=ttyS0 quiet panic=-1" </dev/null >"$build/$v.log" 2>&1 || true
    if grep -q "CAPTURE OK" "$build/$v.log"; then
      echo "kernel $v ($(sed -n 's/.*KERNEL //p' "$build/$v.log" | tr -d '\r')): ok"
    else
      echo "kernel $v: FAILED, see testbed/_build/kernels/$v.log"
      failed=1
    fi
  done
done
exit $failed
