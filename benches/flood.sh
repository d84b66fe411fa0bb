#!/usr/bin/env bash
# Measures how much a flood of failed sign-ins slows signed-in users: requests at a fixed rate, first
# without the flood, then beside 200 clients that send wrong passwords as fast as they get answers. The
# throttle is off, so each attempt costs a hash. Latency counts from the time at which a request was due.
# Gateway, app and load share the machine, so the results include the load of the flood.
#
#   benches/flood.sh              ROUNDS=3 RATE=500 CLIENTS=200 SECONDS_EACH=10 PROFILE=dist
set -euo pipefail
# shellcheck source=benches/lib.sh
. "$(dirname "$0")/lib.sh"

ROUNDS="${ROUNDS:-3}"
RATE="${RATE:-500}"
CLIENTS="${CLIENTS:-200}"
SECONDS_EACH="${SECONDS_EACH:-10}"
[ "$ROUNDS" -ge 1 ] && [ "$ROUNDS" -le 20 ] || fail "ROUNDS is 1 to 20"
[ "$SECONDS_EACH" -ge 2 ] && [ "$SECONDS_EACH" -le 60 ] || fail "SECONDS_EACH is 2 to 60"
[ "$CLIENTS" -ge 1 ] && [ "$CLIENTS" -le 2000 ] || fail "CLIENTS is 1 to 2000"
[ "$RATE" -ge 1 ] && [ "$RATE" -le 5000 ] || fail "RATE is 1 to 5000"

need nginx nginx python3 python3
build load
ulimit -n 8192 2>/dev/null || true

read -r backend < <(free_ports 1)
start_backend "$backend"
config="$work/vestibule.toml"
{
    common_config
    app_config "127.0.0.1:$backend"
} >"$config"
start_gateway "$config"
sign_in "$config" 8

paced() {
    timeout $((SECONDS_EACH + 60)) "$load" paced --to "$gateway_http" --host "$host" \
        --cookies "$cookies" --rate "$RATE" --seconds "$SECONDS_EACH"
}

# resident NAME: VmRSS or VmHWM of the gateway in MiB.
resident() {
    awk -v name="$1:" '$1 == name { printf "%.1f", $2 / 1024 }' "/proc/$gateway_pid/status"
}

paced >/dev/null # warms up
results="$work/results"
for ((round = 1; round <= ROUNDS; round++)); do
    quiet="$(paced)"
    echo "quiet: $quiet"
    "$load" flood --gateway "$gateway_http" --host "$host" --clients "$CLIENTS" \
        --seconds $((SECONDS_EACH + 2)) >"$work/flood.out" 2>"$work/flood.log" &
    flood_pid=$!
    pids+=("$flood_pid")
    sleep 1 # the flood reaches its peak before the first request counts
    flooded="$(paced)"
    wait "$flood_pid" || fail "the flood stopped early"
    echo "flood: $flooded"
    echo "       logins in $((SECONDS_EACH + 2)) s: $(cat "$work/flood.out")"
    for line in "$quiet" "$flooded"; do
        [ "$(field failed <<<"$line")" = 0 ] || fail "requests of signed-in users failed: $line"
    done
    echo "$(field p50_ms <<<"$quiet") $(field p99_ms <<<"$quiet")" \
        "$(field p50_ms <<<"$flooded") $(field p99_ms <<<"$flooded")" >>"$results"
done

python3 - "$results" <<'PYTHON'
import sys
from statistics import median

rounds = [[float(n) for n in line.split()] for line in open(sys.argv[1])]
quiet50, quiet99, flood50, flood99 = (median(column) for column in zip(*rounds))
r50 = median(r[2] / r[0] for r in rounds)
r99 = median(r[3] / r[1] for r in rounds)
print(f"\nmedians of {len(rounds)} rounds, ms      p50      p99")
print(f"quiet                   {quiet50:>9.2f} {quiet99:>8.2f}")
print(f"under the flood         {flood50:>9.2f} {flood99:>8.2f}")
print(f"ratio                   {r50:>9.2f} {r99:>8.2f}   p99, aim under 3: "
      f"{'reached' if r99 < 3 else 'MISSED'}")
PYTHON
echo "peak memory of the gateway: $(resident VmHWM) MiB"
