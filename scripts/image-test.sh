#!/usr/bin/env bash
# Runs the image of scripts/image.sh with podman as it is meant to run: user 65532, read-only root, no
# capability. Signs nobody in; asks the gateway that starts. Prints size and time to start. Needs root.
#
#   scripts/image-test.sh [ARCHIVE]
set -euo pipefail
cd "$(dirname "$0")/.."
archive=$(realpath "${1:-target/packages/vestibule-image.tar}")
. scripts/install.sh
need podman podman
need runc runc
need curl curl
need openssl openssl
install_needed

work=$(mktemp -d)
container=
cleanup() {
    [ -z "$container" ] || p rm --force "$container" >/dev/null 2>&1 || true
    umount "$work/images/vfs" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
export STORAGE_DRIVER=vfs
echo '{"default": [{"type": "insecureAcceptAnything"}]}' >"$work/policy.json"
p() { podman --root "$work/images" --runroot "$work/run" --tmpdir "$work/tmp" --runtime runc --cgroup-manager cgroupfs --events-backend none "$@"; }
fail() {
    echo "FAILED: $*" >&2
    p logs "$container" >&2 2>/dev/null || true
    exit 1
}

p load --quiet --signature-policy "$work/policy.json" --input "$archive" >/dev/null
image=$(p images --quiet | head -n 1)
size=$(p image inspect --format '{{.Size}}' "$image")
user=$(p image inspect --format '{{.Config.User}}' "$image")
[ "$user" = 65532:65532 ] || fail "the image runs as $user"

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
admin=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir "$work/config" "$work/data"
chmod 755 "$work" "$work/config"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=app.example.com \
    -addext subjectAltName=DNS:app.example.com -keyout "$work/config/key.pem" -out "$work/config/cert.pem" 2>/dev/null
chmod 644 "$work/config/key.pem"
cat >"$work/config/vestibule.toml" <<TOML
data_dir = "/var/lib/vestibule"
listeners = [{ address = "127.0.0.1:$port", kind = "https" }]
certificates = [{ cert = "cert.pem", key = "key.pem" }]
admin = { address = "127.0.0.1:$admin" }
[[apps]]
name = "app"
hosts = ["app.example.com"]
upstreams = ["http://127.0.0.1:9"]
TOML
chown 65532:65532 "$work/data"
chmod 700 "$work/data"

common=(--user 65532:65532 --read-only --cap-drop ALL --security-opt no-new-privileges --network host
    --ulimit nofile=4096:4096 --ulimit nproc=4096:4096
    --volume "$work/config:/etc/vestibule:ro" --volume "$work/data:/var/lib/vestibule")
p run --rm --signature-policy "$work/policy.json" "${common[@]}" "$image" --version
begin=$(date +%s%N)
container=$(p run --detach --signature-policy "$work/policy.json" "${common[@]}" "$image")
for _ in $(seq 300); do
    [ "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$admin/readyz")" = 200 ] && break
    sleep 0.05
done
ready=$(date +%s%N)
ask() {
    curl -sS -o /dev/null -w '%{http_code}' --cacert "$work/config/cert.pem" \
        --resolve "app.example.com:$port:127.0.0.1" -H 'Sec-Fetch-Mode: navigate' -H 'Accept: text/html' "$@"
}
[ "$(ask "https://app.example.com:$port/")" = 303 ] || fail "no redirect to the sign-in"
[ "$(ask "https://app.example.com:$port/_auth/login")" = 200 ] || fail "no sign-in page"
p exec "$container" /usr/local/bin/vestibule user add alice >/dev/null || fail "user add"
pid=$(p inspect --format '{{.State.Pid}}' "$container")
status() { awk -v key="$1:" '$1 == key { print $2 }' "/proc/$pid/status"; }
[ "$(status Uid)" = 65532 ] || fail "it runs as $(status Uid)"
[ "$(status CapEff)" = 0000000000000000 ] || fail "it has capabilities: $(status CapEff)"
[ "$(status NoNewPrivs)" = 1 ] || fail "it may gain privileges"
awk '$5 == "/" { split($6, o, ","); exit o[1] != "ro" }' "/proc/$pid/mountinfo" || fail "its root can be written"
[ ! -e "/proc/$pid/root/bin/sh" ] || fail "there is a shell"
memory=$(awk '$1 == "VmRSS:" { print $2 }' "/proc/$pid/status")
end=$(date +%s%N)
p stop --time 40 "$container" >/dev/null
code=$(p inspect --format '{{.State.ExitCode}}' "$container")
[ "$code" = 0 ] || fail "it ended with $code after SIGTERM"
[ $((($(date +%s%N) - end) / 1000000)) -lt 20000 ] || fail "it took long to end"
printf 'size: %s MB unpacked, %s MB archive\nstart to ready: %s ms, with the start of the container\nmemory: %s kB\n' \
    $((size / 1000000)) $(($(stat -c %s "$archive") / 1000000)) $(((ready - begin) / 1000000)) "$memory"
