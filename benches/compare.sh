#!/usr/bin/env bash
# Measures requests a second and CPU time per request for bare Pingora, nginx, and the gateway with
# sessions in Redis, in front of the same app, over HTTP/1.1 and over TLS with HTTP/2.
#
# The gateway runs beside bare Pingora, then beside nginx. Both proxies are under load at the same time on
# core 0, each from its own load generator; the generators, the app and Redis are on core 1. The kernel
# alternates between the proxies every few milliseconds, so disturbances of the machine affect both
# equally. On a shared machine one proxy alone varies by a third from one second to the next. The result
# is the median of the ratios within each round. A proxy that gets less than half of the core answers
# fewer requests; the ratio of requests for equal CPU time corrects for that. Periodic work of the gateway
# (refreshing sessions) weighs twice as much as it would with the core to itself.
#
# Bare Pingora runs on the same kind of runtime as the gateway. BARE= (empty) gives it a runtime without
# work stealing, which is cheaper on a single core.
#
#   benches/compare.sh            ROUNDS=10 SECONDS_EACH=3 SESSIONS=50 PROFILE=dist
set -euo pipefail
# shellcheck source=benches/lib.sh
. "$(dirname "$0")/lib.sh"

ROUNDS="${ROUNDS:-10}"
SECONDS_EACH="${SECONDS_EACH:-3}"
SESSIONS="${SESSIONS:-50}"
proxy_core=(taskset -c 0)
load_core=(taskset -c 1)

[ "$ROUNDS" -ge 1 ] && [ "$ROUNDS" -le 100 ] || fail "ROUNDS is 1 to 100"
[ "$SECONDS_EACH" -ge 1 ] && [ "$SECONDS_EACH" -le 60 ] || fail "SECONDS_EACH is 1 to 60"
[ "$SESSIONS" -ge 1 ] && [ "$SESSIONS" -le 500 ] || fail "SESSIONS is 1 to 500"
[ "$(nproc)" -ge 2 ] || fail "this needs two cores: one for the proxies, one for the load"

need wrk wrk nginx nginx h2load nghttp2-client redis-server redis-server openssl openssl \
    python3 python3 taskset util-linux
build bare_pingora load

read -r backend redis bare_h1 bare_h2 nginx_h1 nginx_h2 < <(free_ports 6)
"$root/certs/make-dev-certs.sh" "$work/certs" "$host" >/dev/null
cert="$work/certs/$host.pem"
key="$work/certs/$host.key"

start_backend "$backend" "${load_core[@]}"
background redis "${load_core[@]}" redis-server --bind 127.0.0.1 --port "$redis" \
    --save '' --appendonly no --dir "$work"
redis_pid=$pid
until_open "$redis"

background bare "${proxy_core[@]}" "$target/examples/bare_pingora" "127.0.0.1:$backend" \
    "127.0.0.1:$bare_h1" "127.0.0.1:$bare_h2" "$cert" "$key" ${BARE-"--work-stealing"}
bare_pid=$pid

mkdir -p "$work/nginx"
cat >"$work/nginx/nginx.conf" <<NGINX
daemon off;
master_process off;
pid $work/nginx/nginx.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    $(nginx_paths "$work/nginx")
    upstream app {
        server 127.0.0.1:$backend;
        keepalive 256;
        keepalive_requests 1000000000;
    }
    server {
        listen 127.0.0.1:$nginx_h1 backlog=4096;
        listen 127.0.0.1:$nginx_h2 ssl http2 backlog=4096;
        ssl_certificate $cert;
        ssl_certificate_key $key;
        location / {
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host \$host;
            proxy_set_header X-Forwarded-For \$remote_addr;
        }
    }
}
NGINX
background nginx env -u NGINX "${proxy_core[@]}" nginx -p "$work/nginx" -c "$work/nginx/nginx.conf"
nginx_pid=$pid

config="$work/vestibule.toml"
"$vestibule" keys init "$work/keys.toml" >/dev/null
{
    common_config
    cat <<TOML
[[listeners]]
address = "127.0.0.1:0"
kind = "https"
[[certificates]]
cert = "$cert"
key = "$key"
[server]
workers = 1
[keys]
file = "$work/keys.toml"
[sessions]
store = "redis"
[redis]
url = "redis://127.0.0.1:$redis/0"
TOML
    app_config "127.0.0.1:$backend"
} >"$config"
start_gateway "$config" "${proxy_core[@]}"
for port in "$bare_h1" "$bare_h2" "$nginx_h1" "$nginx_h2"; do until_open "$port"; done
sign_in "$config" "$SESSIONS"

# Each request carries the cookie of one of the sessions, to every proxy.
cat >"$work/cookies.lua" <<LUA
local requests = {}
init = function()
    for line in io.lines("$cookies") do
        requests[#requests + 1] = wrk.format("GET", "/projects/42/cells?sort=name",
            { ["Host"] = "$host", ["Cookie"] = line, ["Accept"] = "*/*" })
    end
end
local turn = 0
request = function()
    turn = turn % #requests + 1
    return requests[turn]
end
done = function(summary, latency)
    local e = summary.errors
    io.write(string.format("requests=%d seconds=%.6f failed=%d p50_ms=%.3f p99_ms=%.3f\n",
        summary.requests, summary.duration / 1e6,
        e.connect + e.read + e.write + e.status + e.timeout,
        latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
LUA

# used PID: CPU time of its threads in nanoseconds. No working thread ends during a measurement.
used() {
    cat "/proc/$1/task"/*/schedstat 2>/dev/null | awk '{ used += $1 } END { printf "%.0f\n", used }'
}

# load_h1 PORT, load_h2 PORT: one line with requests=, seconds= and failed=.
load_h1() {
    timeout $((SECONDS_EACH + 30)) "${load_core[@]}" wrk -t1 -c64 -d"${SECONDS_EACH}s" \
        -s "$work/cookies.lua" "http://127.0.0.1:$1/" | grep '^requests='
}

turn=0
load_h2() {
    local cookie
    # h2load sends one set of headers in a run, so each run takes the next session.
    cookie="$(sed -n "$((turn % SESSIONS + 1))p" "$cookies")"
    timeout $((SECONDS_EACH + 30)) "${load_core[@]}" h2load -t1 -c8 -m16 -D "$SECONDS_EACH" \
        -H "Cookie: $cookie" -H ":authority: $host" \
        "https://127.0.0.1:$1/projects/42/cells?sort=name" |
        awk -v seconds="$SECONDS_EACH" '
            /^requests:/ { for (i = 2; i <= NF; i++) if ($i ~ /^succeeded/) done = $(i - 1) }
            /^status codes:/ { good = $3 }
            END { printf "requests=%d seconds=%s failed=%d\n", done, seconds, done - good }'
}

results="$work/results"
: >"$results"
# measure ROUND PROTOCOL BESIDE NAME PID PORT: prints one line with the results. BESIDE names the pair.
measure() {
    local before after line redis_before redis_after
    before="$(used "$5")"
    redis_before="$(used "$redis_pid")"
    line="$("load_$2" "$6")" || fail "the load of $4 over $2 stopped early"
    after="$(used "$5")"
    redis_after="$(used "$redis_pid")"
    [ "$(field requests <<<"$line")" -gt 0 ] || fail "$4 answered nothing over $2"
    [ "$(field failed <<<"$line")" -le 0 ] || fail "not every request to $4 was answered 200: $line"
    [ "$1" -gt 0 ] || return 0
    # Only the gateway uses Redis.
    [ "$4" = vestibule ] || redis_after=$redis_before
    echo "round=$1 protocol=$2 beside=$3 name=$4 used=$((after - before))" \
        "redis_used=$((redis_after - redis_before)) $line" | tee -a "$results" >&2
}

# side_by_side ROUND PROTOCOL NAME PID PORT: measures the gateway beside another proxy.
side_by_side() {
    local one status=0 under_way=() gateway_at="$gateway_http"
    [ "$2" = h1 ] || gateway_at="$gateway_https"
    (trap - EXIT; measure "$1" "$2" "$3" "$3" "$4" "$5") &
    under_way+=($!)
    (trap - EXIT; measure "$1" "$2" "$3" vestibule "$gateway_pid" "${gateway_at##*:}") &
    under_way+=($!)
    for one in "${under_way[@]}"; do wait "$one" || status=1; done
    [ "$status" = 0 ] || fail "round $1 beside $3 over $2 did not finish"
}

# Round 0 is a warm-up and does not count.
for ((round = 0; round <= ROUNDS; round++)); do
    turn=$round
    side_by_side "$round" h1 pingora "$bare_pid" "$bare_h1"
    side_by_side "$round" h2 pingora "$bare_pid" "$bare_h2"
    side_by_side "$round" h1 nginx "$nginx_pid" "$nginx_h1"
    side_by_side "$round" h2 nginx "$nginx_pid" "$nginx_h2"
done

python3 "$root/benches/medians.py" <"$results"
