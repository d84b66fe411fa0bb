#!/usr/bin/env bash
# Measures the cost of a row of the audit log: appends a second over SQLite and PostgreSQL, alternating
# with bare inserts of the same columns in one run. Both wait for the disk at each row, so the numbers
# depend on the disk. The ratio is the cost of the hash chain and its lock.
#
#   benches/append.sh              ROUNDS=5 SECONDS_EACH=2 PROFILE=dist
set -euo pipefail
# shellcheck source=benches/lib.sh
. "$(dirname "$0")/lib.sh"

ROUNDS="${ROUNDS:-5}"
SECONDS_EACH="${SECONDS_EACH:-2}"
[ "$ROUNDS" -ge 1 ] && [ "$ROUNDS" -le 20 ] || fail "ROUNDS is 1 to 20"
[ "$SECONDS_EACH" -ge 1 ] && [ "$SECONDS_EACH" -le 60 ] || fail "SECONDS_EACH is 1 to 60"

need python3 python3
bin="$(dirname "$(ls -d /usr/lib/postgresql/*/bin/postgres 2>/dev/null | sort -V | tail -n 1)")"
[ -x "$bin/postgres" ] || bin="$(dirname "$(command -v postgres)")" || fail "please install: postgresql"
build append

# PostgreSQL does not run as root.
as_user=()
if [ "$(id -u)" = 0 ]; then
    as_user=(setpriv "--reuid=$(id -u postgres)" "--regid=$(id -g postgres)" --clear-groups --)
    chmod 711 "$work"
fi
data="$work/postgres"
mkdir "$data"
[ "$(id -u)" != 0 ] || chown postgres "$data"
read -r port < <(free_ports 1)
(cd "$data" && "${as_user[@]}" "$bin/initdb" --auth=trust --username=vestibule --locale=C \
    --encoding=UTF8 --pgdata "$data/db") >"$work/initdb.log" 2>&1
background postgres "${as_user[@]}" "$bin/postgres" -D "$data/db" -p "$port" -h 127.0.0.1 \
    -k "$data" -c dynamic_shared_memory_type=mmap
until_open "$port"

append() {
    "$target/examples/append" "$@" "$SECONDS_EACH" "$ROUNDS"
}

append sqlite "$work/accounts.db"
append postgres "postgres://vestibule@127.0.0.1:$port/postgres?sslmode=disable"
