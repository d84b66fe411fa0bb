#!/usr/bin/env bash
# Measures how much many open event streams slow other requests: requests at a fixed rate, first alone, then
# beside STREAMS open streams of PEOPLE sessions. At the end all sessions are ended, and the time until the last
# stream has ended is printed. Latency counts from the time at which a request was due. Gateway, apps and load
# share the machine.
#
# Each stream takes a descriptor at the app and one at the gateway; a hundred share a client connection (HTTP/2). The
# gateway leaves a part of its descriptors to other uses, so 10,000 streams need a hard limit of 16,000.
#
#   benches/streams.sh            ROUNDS=3 RATE=300 STREAMS=10000 PEOPLE=50 SECONDS_EACH=10 PROFILE=dist
set -euo pipefail
# shellcheck source=benches/lib.sh
. "$(dirname "$0")/lib.sh"

ROUNDS="${ROUNDS:-3}"
RATE="${RATE:-300}"
STREAMS="${STREAMS:-10000}"
PEOPLE="${PEOPLE:-50}"
SECONDS_EACH="${SECONDS_EACH:-10}"
[ "$ROUNDS" -ge 1 ] && [ "$ROUNDS" -le 20 ] || fail "ROUNDS is 1 to 20"
[ "$SECONDS_EACH" -ge 2 ] && [ "$SECONDS_EACH" -le 60 ] || fail "SECONDS_EACH is 2 to 60"
[ "$STREAMS" -ge 100 ] && [ "$STREAMS" -le 20000 ] || fail "STREAMS is 100 to 20000"
[ "$PEOPLE" -ge 1 ] && [ "$PEOPLE" -le 200 ] || fail "PEOPLE is 1 to 200"

need nginx nginx openssl openssl python3 python3 h2load nghttp2-client
build load
ulimit -n "$(ulimit -Hn)"

read -r backend events < <(free_ports 2)
"$root/certs/make-dev-certs.sh" "$work/certs" "$host" >/dev/null
start_backend "$backend"
cat >"$work/events.py" <<'PYTHON'
import asyncio, sys

async def serve(reader, writer):
    try:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await writer.drain()
        await reader.read()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=4096)
    async with server:
        await server.serve_forever()

asyncio.run(main())
PYTHON
background events python3 "$work/events.py" "$events"
events_pid=$pid
until_open "$events"
config="$work/vestibule.toml"
{
    common_config | sed 's/^connections_per_address.*/&\nmax_connections = 2000\nrequests_per_address = 30000/'
    cat <<TOML
[[listeners]]
address = "127.0.0.1:0"
kind = "https"
[[certificates]]
cert = "$work/certs/$host.pem"
key = "$work/certs/$host.key"
TOML
    app_config "127.0.0.1:$backend"
    cat <<TOML
[[apps.rules]]
path = "/events"
access = "two_factor"
[[apps]]
name = "events"
hosts = ["127.0.0.1"]
upstreams = ["http://127.0.0.1:$events"]
max_requests = 30000
read_timeout = "1h"
TOML
} >"$config"
start_gateway "$config"
sign_in "$config" 8
mv "$cookies" "$work/cookies-paced"
names=()
for ((number = 1; number <= PEOPLE; number++)); do
    names+=("stream-$number")
    printf %s "$password" | "$vestibule" user add "stream-$number" --password-stdin --config "$config" >/dev/null
done
printf %s "$password" |
    "$load" sign-in --gateway "$gateway_http" --host 127.0.0.1 "${names[@]}" >"$work/cookies-streams"

paced() {
    timeout $((SECONDS_EACH + 60)) "$load" paced --to "$gateway_http" --host "$host" \
        --cookies "$work/cookies-paced" --rate "$RATE" --seconds "$SECONDS_EACH"
}

# sockets: prints the number of sockets of the app.
sockets() {
    find "/proc/$events_pid/fd" -lname 'socket:*' 2>/dev/null | wc -l
}
own_sockets="$(sockets)"

# open_now: prints the number of streams that are open at the app.
open_now() {
    echo $(($(sockets) - own_sockets))
}

# streams: opens all streams, those of one session after those of another, and sets `stream_pids`. All at once
# would wait for the same lookup, and the gateway sheds more than 1,000 requests of one network that wait.
streams() {
    local each=$((STREAMS / PEOPLE)) cookie try
    stream_pids=()
    while read -r cookie; do
        timeout 300 h2load -n "$each" -c $(((each + 99) / 100)) -m 100 -t1 -H "Cookie: $cookie" \
            "https://$gateway_https/events" >/dev/null 2>&1 &
        stream_pids+=("$!")
        pids+=("$!")
        for ((try = 0; try < 600; try++)); do
            [ "$(open_now)" -ge $((each * ${#stream_pids[@]})) ] && continue 2
            sleep 0.05
        done
        fail "only $(open_now) of $STREAMS streams are open"
    done <"$work/cookies-streams"
}

paced >/dev/null # warms up
results="$work/results"
for ((round = 1; round <= ROUNDS; round++)); do
    quiet="$(paced)"
    echo "quiet:   $quiet"
    streams
    beside="$(paced)"
    echo "streams: $beside"
    for ((person = 1; person <= PEOPLE; person++)); do kill "${stream_pids[$((person - 1))]}"; done
    for one in "${stream_pids[@]}"; do wait "$one" || true; done
    while [ "$(open_now)" -gt 0 ]; do sleep 0.1; done
    for line in "$quiet" "$beside"; do
        [ "$(field failed <<<"$line")" = 0 ] || fail "requests failed: $line"
    done
    echo "$(field p50_ms <<<"$quiet") $(field p99_ms <<<"$quiet")" \
        "$(field p50_ms <<<"$beside") $(field p99_ms <<<"$beside")" >>"$results"
done

python3 - "$results" "$STREAMS" <<'PYTHON'
import sys
from statistics import median

rounds = [[float(n) for n in line.split()] for line in open(sys.argv[1])]
quiet50, quiet99, beside50, beside99 = (median(column) for column in zip(*rounds))
r50 = median(r[2] / r[0] for r in rounds)
r99 = median(r[3] / r[1] for r in rounds)
print(f"\nmedians of {len(rounds)} rounds, ms      p50      p99")
print(f"alone                   {quiet50:>9.2f} {quiet99:>8.2f}")
print(f"beside {sys.argv[2]:>6} streams   {beside50:>9.2f} {beside99:>8.2f}")
print(f"ratio                   {r50:>9.2f} {r99:>8.2f}")
PYTHON

streams
"$vestibule" session end --all --config "$config" >/dev/null
start="$(date +%s%N)"
while [ "$(open_now)" -gt 0 ]; do sleep 0.02; done
echo "after the end of all sessions, the last stream ended within $((($(date +%s%N) - start) / 1000000)) ms"
