#!/usr/bin/env bash
# Counts the instructions of a forwarded request in the gateway with callgrind. The counts repeat to within
# a percent even on a busy machine; times do not. To compare two commits, run it in both.
#
# The counters are reset after a warm-up and read after REQUESTS more, over HTTP/1.1 and over TLS with
# HTTP/2, with a session in the embedded store. Periodic work of the gateway (refreshing the session once a
# second) is included and small.
#
#   benches/instructions.sh       REQUESTS=4000 WARM_UP=1000 PROFILE=dist
set -euo pipefail
# shellcheck source=benches/lib.sh
. "$(dirname "$0")/lib.sh"

REQUESTS="${REQUESTS:-4000}"
WARM_UP="${WARM_UP:-1000}"
[ "$REQUESTS" -ge 100 ] && [ "$REQUESTS" -le 100000 ] || fail "REQUESTS is 100 to 100000"
[ "$WARM_UP" -ge 100 ] && [ "$WARM_UP" -le 100000 ] || fail "WARM_UP is 100 to 100000"

need valgrind valgrind h2load nghttp2-client nginx nginx openssl openssl python3 python3
build load

read -r backend < <(free_ports 1)
"$root/certs/make-dev-certs.sh" "$work/certs" "$host" >/dev/null
start_backend "$backend"
config="$work/vestibule.toml"
{
    common_config
    cat <<TOML
[[listeners]]
address = "127.0.0.1:0"
kind = "https"
[[certificates]]
cert = "$work/certs/$host.pem"
key = "$work/certs/$host.key"
[server]
workers = 1
TOML
    app_config "127.0.0.1:$backend"
} >"$config"

# Password hashes take minutes under valgrind, so the session is created without it.
start_gateway "$config"
sign_in "$config" 1
kill "$gateway_pid"
wait "$gateway_pid" || true
: >"$work/gateway.log"
start_gateway "$config" valgrind --quiet --tool=callgrind --callgrind-out-file="$work/callgrind.out"
cookie="$(head -n 1 "$cookies")"

# requests N ADDRESS SCHEME [H2LOAD-OPTION...]: sends N requests; each answer must be 200.
requests() {
    local number=$1 address=$2 scheme=$3 out
    shift 3
    out="$(timeout 300 h2load -n "$number" -t1 -c4 -m1 -H "Cookie: $cookie" -H ":authority: $host" "$@" \
        "$scheme://$address/projects/42/cells?sort=name")"
    grep -q "^status codes: $number 2xx" <<<"$out" || fail "not every request was answered 200: $out"
}

# measure NAME ADDRESS SCHEME [H2LOAD-OPTION...]: prints one line with the result.
measure() {
    local name=$1 before
    shift
    requests "$WARM_UP" "$@"
    callgrind_control --zero "$gateway_pid" >/dev/null
    rm -f "$work"/callgrind.out.*
    requests "$REQUESTS" "$@"
    callgrind_control --dump "$gateway_pid" >/dev/null
    before="$(awk '/^(totals|summary):/ { sum += $2; seen = 1; exit } END { if (!seen) exit 1; print sum }' \
        "$work"/callgrind.out.*)" || fail "callgrind wrote no totals"
    echo "protocol=$name requests=$REQUESTS instructions_each=$((before / REQUESTS))"
}

measure h1 "$gateway_http" http --h1
measure h2 "$gateway_https" https
