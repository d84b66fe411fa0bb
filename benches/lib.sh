# Shared by benches/*.sh: installs, builds, starts and ends what they need. Sourced by bash with
# `set -euo pipefail`. Everything listens on loopback and ends with the script.
# shellcheck shell=bash

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# The release profile. `PROFILE=dev` shows that a script works, but its numbers mean nothing.
PROFILE="${PROFILE:-dist}"
host=localhost
password=seven-owls-paint-the-fence
work="$(mktemp -d)"
pids=()

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

# Ends the processes that this script started, by id, and waits for them.
clean_up() {
    local status=$? pid
    trap - EXIT INT TERM
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    if [ "$status" != 0 ]; then
        tail -n 20 "$work"/*.log >&2 2>/dev/null || true
    fi
    rm -rf "$work"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# need COMMAND PACKAGE...: installs the packages of missing commands (Debian).
need() {
    local missing=()
    while [ $# -gt 0 ]; do
        command -v "$1" >/dev/null 2>&1 || missing+=("$2")
        shift 2
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 ||
        fail "please install: ${missing[*]}"
    DEBIAN_FRONTEND=noninteractive apt-get update -q >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        "${missing[@]}" >&2
}

# build EXAMPLE...: builds the gateway and the examples; sets `target`, `vestibule` and `load`.
build() {
    local example arguments=(--locked --profile "$PROFILE" --bin vestibule)
    for example in "$@"; do arguments+=(--example "$example"); done
    (cd "$root" && cargo build "${arguments[@]}") >&2
    local directory="$PROFILE"
    [ "$PROFILE" != dev ] || directory=debug
    target="${CARGO_TARGET_DIR:-$root/target}/$directory"
    vestibule="$target/vestibule"
    load="$target/examples/load"
}

# free_ports N: prints N free ports on loopback.
free_ports() {
    python3 - "$1" <<'PYTHON'
import socket, sys
sockets = [socket.socket() for _ in range(int(sys.argv[1]))]
for one in sockets:
    one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in sockets))
PYTHON
}

# until_open PORT: waits until a process listens on PORT, 30 s at most.
until_open() {
    local try
    for ((try = 0; try < 300; try++)); do
        (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return 0
        sleep 0.1
    done
    fail "nothing listens on port $1"
}

# background NAME COMMAND...: runs COMMAND with its output in NAME.log; sets `pid`.
background() {
    local name=$1
    shift
    "$@" >"$work/$name.log" 2>&1 </dev/null &
    pid=$!
    pids+=("$pid")
}

# start_gateway CONFIG COMMAND...: starts the gateway, with COMMAND as a prefix (such as taskset), and waits
# until it is ready. Sets `gateway_pid`, and `gateway_http` and `gateway_https` to its addresses.
start_gateway() {
    local config=$1 try
    shift
    background gateway "$@" "$vestibule" serve --config "$config"
    gateway_pid=$pid
    for ((try = 0; try < 600; try++)); do
        grep -q '"message":"ready"' "$work/gateway.log" && break
        kill -0 "$gateway_pid" 2>/dev/null || fail "the gateway did not start"
        sleep 0.05
    done
    gateway_http="$(address_of http)"
    gateway_https="$(address_of https)"
    [ -n "$gateway_http" ] || fail "the gateway is not ready after 30 s"
}

# address_of KIND: prints the address of the listener of that kind, from the log; empty without one.
address_of() {
    sed -n "/\"message\":\"listening\",\"kind\":\"$1\"/s/.*\"address\":\"\([^\"]*\)\".*/\1/p" \
        "$work/gateway.log"
}

# sign_in CONFIG N [HOST]: adds N accounts and signs each in at HOST; `cookies` names the file with their
# Cookie headers.
sign_in() {
    local number at="${3:-$host}" names=()
    for ((number = 1; number <= $2; number++)); do
        names+=("$at-$number")
        printf %s "$password" |
            "$vestibule" user add "$at-$number" --password-stdin --config "$1" >/dev/null
    done
    cookies="$work/cookies-$at"
    printf %s "$password" |
        "$load" sign-in --gateway "$gateway_http" --host "$at" "${names[@]}" >"$cookies"
}

# common_config: prints the start of every configuration.
common_config() {
    cat <<TOML
data_dir = "$work/data"
[log]
format = "json"
[network]
connections_per_address = 4096
[throttle]
per_address = 1000000
[[listeners]]
address = "127.0.0.1:0"
kind = "http"
TOML
}

# app_config UPSTREAM: prints the configuration of the app.
app_config() {
    cat <<TOML
[[apps]]
name = "bench"
title = "Bench"
hosts = ["$host"]
upstreams = ["http://$1"]
TOML
}

# field NAME <<<LINE: prints the value of NAME=VALUE in a line of such pairs.
field() {
    tr ' ' '\n' | sed -n "s/^$1=//p"
}

# start_backend PORT COMMAND...: starts an nginx that answers every request with 1 KiB.
start_backend() {
    local port=$1
    shift
    mkdir -p "$work/backend"
    cat >"$work/backend/nginx.conf" <<NGINX
daemon off;
master_process off;
pid $work/backend/nginx.pid;
error_log stderr warn;
events { worker_connections 4096; }
http {
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    $(nginx_paths "$work/backend")
    server {
        listen 127.0.0.1:$port backlog=4096;
        location / {
            default_type text/plain;
            return 200 "$(printf '%01024d' 0)";
        }
    }
}
NGINX
    # nginx would read an NGINX variable in the environment as inherited sockets.
    background backend env -u NGINX "$@" nginx -p "$work/backend" -c "$work/backend/nginx.conf"
    backend_pid=$pid
    until_open "$port"
}

# nginx_paths DIR: prints settings that keep all temporary files of nginx in DIR.
nginx_paths() {
    local kind
    for kind in client_body proxy fastcgi uwsgi scgi; do
        echo "${kind}_temp_path $1/$kind;"
    done
}
