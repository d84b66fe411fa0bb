#!/usr/bin/env bash
# Measures the memory of the gateway at rest, with idle TLS connections, after requests, and when the connections
# are gone; and the time from its start to "ready". The connections stay open during the requests.
#
#   benches/memory.sh             CONNECTIONS=5000 REQUESTS=200000 PROFILE=dist
#
# VESTIBULE names a binary that is already built.
set -euo pipefail
# shellcheck source=benches/lib.sh
. "$(dirname "$0")/lib.sh"

CONNECTIONS="${CONNECTIONS:-5000}"
REQUESTS="${REQUESTS:-200000}"
[ "$CONNECTIONS" -ge 1 ] && [ "$CONNECTIONS" -le 20000 ] || fail "CONNECTIONS is 1 to 20000"
[ "$REQUESTS" -ge 1 ] && [ "$REQUESTS" -le 10000000 ] || fail "REQUESTS is 1 to 10000000"

need nginx nginx python3 python3 openssl openssl h2load nghttp2-client
if [ -n "${VESTIBULE:-}" ]; then vestibule="$VESTIBULE"; else build; fi
ulimit -n "$(ulimit -Hn)"
[ "$(ulimit -n)" -ge $((CONNECTIONS * 4)) ] || fail "needs a limit of $((CONNECTIONS * 4)) open descriptors"

read -r backend < <(free_ports 1)
start_backend "$backend"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
config="$work/vestibule.toml"
cat >"$config" <<TOML
data_dir = "$work/data"
[log]
format = "json"
[network]
connections_per_address = 100000
requests_per_address = 100000
max_connections = $((CONNECTIONS + 1000))
[[listeners]]
address = "127.0.0.1:0"
kind = "https"
[[listeners]]
address = "127.0.0.1:0"
kind = "http"
[[certificates]]
cert = "$work/cert.pem"
key = "$work/key.pem"
[[apps]]
name = "bench"
hosts = ["$host"]
upstreams = ["http://127.0.0.1:$backend"]
[[apps.rules]]
path = "/public/**"
access = "public"
TOML

# The first start makes the keys and the tables; the second is measured.
start_gateway "$config"
kill "$gateway_pid"
wait "$gateway_pid" || true
began="$(date +%s%N)"
start_gateway "$config"
ready="$(date +%s%N)"

# resident: VmRSS of the gateway in MiB.
resident() {
    awk '$1 == "VmRSS:" { printf "%.1f", $2 / 1024 }' "/proc/$gateway_pid/status"
}

# open_connections: client connections of the gateway, as the kernel counts them.
open_connections() {
    ss -Htn state established "( sport = :${gateway_https##*:} )" | wc -l
}

echo "start to ready:                   $(((ready - began) / 1000000)) ms (in steps of 50 ms)"
echo "at rest:                          $(resident) MiB"

cat >"$work/idle.py" <<'PYTHON'
"""Opens TLS connections, one request on each, and keeps them open until standard input ends."""
import asyncio, ssl, sys

port, count = int(sys.argv[1]), int(sys.argv[2])
context = ssl.create_default_context(cafile=sys.argv[3])
request = b"GET /public/1k HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def one(room, kept):
    async with room:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="localhost"
        )
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(l.split(b":")[1]) for l in head.split(b"\r\n") if l.lower().startswith(b"content-length"))
        await reader.readexactly(length)
        kept.append((reader, writer))


async def main():
    room, kept = asyncio.Semaphore(64), []
    await asyncio.gather(*(one(room, kept) for _ in range(count)))
    print(len(kept), flush=True)
    await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
PYTHON
mkfifo "$work/hold" "$work/said"
python3 "$work/idle.py" "${gateway_https##*:}" "$CONNECTIONS" "$work/cert.pem" <"$work/hold" >"$work/said" &
idle_pid=$!
pids+=("$idle_pid")
exec 8>"$work/hold" 9<"$work/said"
read -r opened <&9
[ "$opened" = "$CONNECTIONS" ] || fail "only $opened connections were opened"
echo "with $opened idle TLS connections:  $(resident) MiB"

h2load --h1 -n "$REQUESTS" -c 50 -t 1 "https://localhost:${gateway_https##*:}/public/1k" >"$work/h2load.log"
done_well="$(sed -n 's/^status codes: \([0-9]*\) 2xx.*/\1/p' "$work/h2load.log")"
[ "$done_well" = "$REQUESTS" ] || fail "only $done_well of $REQUESTS requests were answered by 2xx"
echo "after $REQUESTS requests:           $(resident) MiB, $(open_connections) connections"

exec 8>&-
wait "$idle_pid"
for ((try = 0; try < 100; try++)); do
    [ "$(open_connections)" != 0 ] || break
    sleep 0.1
done
echo "without the connections:          $(resident) MiB, $(open_connections) connections"
echo "at most:                          $(awk '$1 == "VmHWM:" { printf "%.1f", $2 / 1024 }' "/proc/$gateway_pid/status") MiB"
