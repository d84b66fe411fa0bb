#!/usr/bin/env bash
# Measures the memory of the gateway during a large upload and a large download, hashed at both ends, and
# the time from its start until it is ready.
#
#   benches/large.sh              BYTES=2147483648 STARTS=5 PROFILE=dist
set -euo pipefail
# shellcheck source=benches/lib.sh
. "$(dirname "$0")/lib.sh"

BYTES="${BYTES:-2147483648}"
STARTS="${STARTS:-5}"
[ "$BYTES" -ge 1 ] && [ "$BYTES" -le 17179869184 ] || fail "BYTES is 1 to 16 GiB"
[ "$STARTS" -ge 1 ] && [ "$STARTS" -le 50 ] || fail "STARTS is 1 to 50"

need python3 python3
build load

read -r port < <(free_ports 1)
background app "$load" app --listen "127.0.0.1:$port"
until_open "$port"
config="$work/vestibule.toml"
{
    common_config
    app_config "127.0.0.1:$port"
} >"$config"

# start_once: sets `seconds` to the time from the start to the log line "ready".
start_once() {
    local begin end line log
    begin=$EPOCHREALTIME
    exec {log}< <(exec "$vestibule" serve --config "$config" 2>&1 >/dev/null </dev/null)
    local started=$!
    pids+=("$started")
    end=""
    while read -r -t 30 -u "$log" line; do
        if [[ $line == *'"message":"ready"'* ]]; then
            end=$EPOCHREALTIME
            break
        fi
        echo "$line" >>"$work/start.log"
    done
    kill "$started" 2>/dev/null || true
    wait "$started" 2>/dev/null || true
    exec {log}<&-
    [ -n "$end" ] || fail "the gateway did not start"
    seconds="$(awk -v a="$begin" -v b="$end" 'BEGIN { printf "%.3f", b - a }')"
}

start_once
echo "first start, with new stores and keys: $seconds s"
for ((start = 0; start < STARTS; start++)); do
    start_once
    echo "$seconds" >>"$work/starts"
done
median="$(sort -n "$work/starts" | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }')"
echo "start to ready: $median s (median of $STARTS), aim under 0.5 s:" \
    "$(awk -v s="$median" 'BEGIN { print (s < 0.5) ? "reached" : "MISSED" }')"

start_gateway "$config"
sign_in "$config" 1

# resident NAME: VmRSS or VmHWM of the gateway in KiB.
resident() {
    awk -v name="$1:" '$1 == name { print $2 }' "/proc/$gateway_pid/status"
}

before="$(resident VmRSS)"
echo 5 >"/proc/$gateway_pid/clear_refs" # resets the high-water mark
timeout 900 "$load" transfer --to "$gateway_http" --host "$host" --cookies "$cookies" \
    --bytes "$BYTES"
peak="$(resident VmHWM)"
awk -v before="$before" -v peak="$peak" 'BEGIN {
    growth = (peak - before) / 1024
    printf "memory of the gateway: %.1f MiB before, %.1f MiB at most, %.1f MiB more, aim under 32: %s\n",
        before / 1024, peak / 1024, growth, (growth < 32) ? "reached" : "MISSED"
}'
