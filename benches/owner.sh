#!/usr/bin/env bash
# Measures whether strangers slow the owner of an account. The owner signs in repeatedly in a known browser,
# first without a flood, then while wrong passwords for the same account come from many addresses. The
# throttle has its defaults. Gateway, attackers and owner share the machine, so the times include the load
# of the flood.
#
#   benches/owner.sh              GUESSES=20000 ADDRESSES=500 PROFILE=dist
set -euo pipefail
# shellcheck source=benches/lib.sh
. "$(dirname "$0")/lib.sh"

GUESSES="${GUESSES:-20000}"
ADDRESSES="${ADDRESSES:-500}"
[ "$GUESSES" -ge 1000 ] && [ "$GUESSES" -le 200000 ] || fail "GUESSES is 1000 to 200000"
[ "$ADDRESSES" -ge 16 ] && [ "$ADDRESSES" -le 60000 ] || fail "ADDRESSES is 16 to 60000"
[ $((GUESSES % ADDRESSES)) = 0 ] || fail "GUESSES is a multiple of ADDRESSES"

need python3 python3
build
read -r backend < <(free_ports 1)
config="$work/vestibule.toml"
{
    common_config | sed '/^\[throttle\]/,/^per_address/d'
    app_config "127.0.0.1:$backend"
} | sed 's/^\[network\]/&\ntrusted_proxies = ["127.0.0.0\/8"]/' >"$config"
start_gateway "$config"
printf %s "$password" | "$vestibule" user add owner --password-stdin --config "$config" >/dev/null
python3 "$root/benches/tools/owner.py" "${gateway_http##*:}" "$host" owner "$password" \
    "$GUESSES" "$ADDRESSES"
