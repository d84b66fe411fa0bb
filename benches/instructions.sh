#!/usr/bin/env bash
# Counts the instructions of a forwarded request in the gateway with callgrind. To compare two commits, run it
# in both.
#
# The counters are reset after a warm-up and read after REQUESTS more, over HTTP/1.1 and over TLS with
# HTTP/2, with a session in the embedded store: first at an app with the default settings, then at one that
# gets assertions. Periodic work of the gateway (refreshing the session once a second, an assertion every
# 30 s) is included, the more of it the slower the machine. It only adds, so the smallest of ROUNDS counts.
#
# KEEP names a directory for the profiles, for callgrind_annotate.
#
#   benches/instructions.sh       REQUESTS=4000 WARM_UP=1000 ROUNDS=3 PROFILE=dist KEEP=
set -euo pipefail
# shellcheck source=benches/lib.sh
. "$(dirname "$0")/lib.sh"

REQUESTS="${REQUESTS:-4000}"
WARM_UP="${WARM_UP:-1000}"
ROUNDS="${ROUNDS:-3}"
KEEP="${KEEP:-}"
[ "$REQUESTS" -ge 100 ] && [ "$REQUESTS" -le 100000 ] || fail "REQUESTS is 100 to 100000"
[ "$WARM_UP" -ge 100 ] && [ "$WARM_UP" -le 100000 ] || fail "WARM_UP is 100 to 100000"
[ "$ROUNDS" -ge 1 ] && [ "$ROUNDS" -le 100 ] || fail "ROUNDS is 1 to 100"

need valgrind valgrind h2load nghttp2-client nginx nginx openssl openssl python3 python3
build load

# As long as the other host, because each byte of it costs instructions.
asserted=127.0.0.1
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
    cat <<TOML
[[apps]]
name = "asserted"
title = "Asserted"
hosts = ["$asserted"]
upstreams = ["http://127.0.0.1:$backend"]
assertion = true
TOML
} >"$config"

# Password hashes take minutes under valgrind, so the sessions are created without it.
start_gateway "$config"
declare -A cookie
for at in "$host" "$asserted"; do
    sign_in "$config" 1 "$at"
    cookie[$at]="$(head -n 1 "$cookies")"
done
kill "$gateway_pid"
wait "$gateway_pid" || true
: >"$work/gateway.log"
start_gateway "$config" valgrind --quiet --tool=callgrind --callgrind-out-file="$work/callgrind.out"

# requests N HOST ADDRESS SCHEME [H2LOAD-OPTION...]: sends N requests; each answer must be 200.
requests() {
    local number=$1 at=$2 address=$3 scheme=$4 out
    shift 4
    out="$(timeout 300 h2load -n "$number" -t1 -c4 -m1 -H "Cookie: ${cookie[$at]}" -H ":authority: $at" "$@" \
        "$scheme://$address/projects/42/cells?sort=name")"
    grep -q "^status codes: $number 2xx" <<<"$out" || fail "not every request was answered 200: $out"
}

# instructions KEPT HOST ADDRESS SCHEME [H2LOAD-OPTION...]: sets `each` to the instructions of a request.
instructions() {
    local kept=$1 all
    shift
    requests "$WARM_UP" "$@"
    callgrind_control --zero "$gateway_pid" >/dev/null
    rm -f "$work"/callgrind.out.*
    requests "$REQUESTS" "$@"
    callgrind_control --dump "$gateway_pid" >/dev/null
    all="$(awk '/^(totals|summary):/ { sum += $2; seen = 1; exit } END { if (!seen) exit 1; print sum }' \
        "$work"/callgrind.out.*)" || fail "callgrind wrote no totals"
    each=$((all / REQUESTS))
    [ -z "$KEEP" ] || cp "$work"/callgrind.out.* "$KEEP/$kept"
}

# measure NAME ADDRESS SCHEME [H2LOAD-OPTION...]: prints one line with the results.
measure() {
    local name=$1 round at plain more
    local -A least=()
    shift
    for ((round = 1; round <= ROUNDS; round++)); do
        for at in "$host" "$asserted"; do
            instructions "$name-$at-$round" "$at" "$@"
            [ "$each" -ge "${least[$at]:-$((each + 1))}" ] || least[$at]=$each
        done
    done
    plain=${least[$host]} more=$((least[$asserted] - least[$host]))
    echo "protocol=$name requests=$REQUESTS instructions_each=$plain with_assertion=${least[$asserted]}" \
        "more_percent=$(awk "BEGIN { printf \"%.2f\", 100 * $more / $plain }")"
}

measure h1 "$gateway_http" http --h1
measure h2 "$gateway_https" https
