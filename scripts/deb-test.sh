#!/usr/bin/env bash
# Tests a Debian package in a container that systemd-nspawn boots: installs an older version, signs in,
# upgrades, goes back, upgrades again, removes, installs again and purges. Checks the links of its
# documentation first. Needs root. Runs again at any time; leaves nothing behind but the base system in
# target/packages.
#
#   scripts/deb-test.sh NEW.deb [OLD.deb]     without OLD.deb, the new one with a lower version number
set -euo pipefail
cd "$(dirname "$0")/.."
new=$(realpath "$1")
. scripts/install.sh
need debootstrap debootstrap
need systemd-nspawn systemd-container
install_needed

. scripts/base.sh
base_system base-deb systemd,systemd-sysv,curl,oathtool,openssl,ca-certificates,procps

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Every link of the documentation must lead to a file of the package.
dpkg-deb -x "$new" "$work/unpacked"
scripts/links.py "$work/unpacked"

mkdir "$work/root"
tar -C "$work/root" -xf target/packages/base-deb.tar
cp "$new" "$work/root/root/new.deb"
if [ $# -gt 1 ]; then
    cp "$2" "$work/root/root/old.deb"
else
    dpkg-deb -R "$new" "$work/old"
    sed -i 's/^Version: .*/Version: 0.0.1-1/' "$work/old/DEBIAN/control"
    dpkg-deb --root-owner-group -b "$work/old" "$work/root/root/old.deb" >/dev/null
fi
cp packaging/deb/test/* "$work/root/root/"
chmod +x "$work/root/root/"*.sh
cp packaging/deb/test/*.service packaging/deb/test/*.socket "$work/root/etc/systemd/system/"
mkdir -p "$work/root/etc/systemd/system/multi-user.target.wants"
ln -s ../test.service "$work/root/etc/systemd/system/multi-user.target.wants/test.service"

# A network of its own: the ports of the package are free, and nothing else is reached.
timeout 300 systemd-nspawn --quiet --boot --directory="$work/root" --register=no --keep-unit \
    --private-network --console=pipe >"$work/boot.log" 2>&1 || true
cat "$work/root/root/log"
if [ "$(cat "$work/root/root/result" 2>/dev/null)" != passed ]; then
    tail -n 30 "$work/boot.log" "$work/root/root/journal" 2>/dev/null || true
    echo "The package failed its test." >&2
    exit 1
fi
