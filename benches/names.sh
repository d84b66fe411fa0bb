#!/usr/bin/env bash
# Tests whether the time of a failed sign-in reveals which names exist. Sends wrong passwords for existing
# and unknown names in random order, and prints the difference of the times and how often chance alone
# would cause as large a difference (a permutation test of the medians).
#
#   benches/names.sh              NAMES=40 TRIES=5 PROFILE=dist
set -euo pipefail
# shellcheck source=benches/lib.sh
. "$(dirname "$0")/lib.sh"

NAMES="${NAMES:-40}"
TRIES="${TRIES:-5}"
[ "$NAMES" -ge 2 ] && [ "$NAMES" -le 500 ] || fail "NAMES is 2 to 500"
[ "$TRIES" -ge 1 ] && [ "$TRIES" -le 5 ] || fail "TRIES is 1 to 5: more cause backoff"

need python3 python3
build load
read -r backend < <(free_ports 1)
config="$work/vestibule.toml"
{
    common_config
    app_config "127.0.0.1:$backend"
} >"$config"
start_gateway "$config"
for ((number = 1; number <= NAMES; number++)); do
    printf %s "$password" |
        "$vestibule" user add "person-$number" --password-stdin --config "$config" >/dev/null
done

python3 - "${gateway_http##*:}" "$host" "$NAMES" "$TRIES" <<'PYTHON'
import http.client, random, re, statistics, sys, time, urllib.parse

port, host, names, tries = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
connection = http.client.HTTPConnection("127.0.0.1", port)

def ask(method, body=None, cookie=None):
    headers = {"Host": host}
    if cookie:
        headers["Cookie"] = cookie
    if body:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    start = time.perf_counter()
    connection.request(method, "/_auth/login", body, headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    return answer, text, time.perf_counter() - start

answer, page, _ = ask("GET")
cookie = answer.getheader("Set-Cookie").split(";")[0]
csrf = re.search(r'name="csrf" value="([^"]+)"', page).group(1)

def wrong(name):
    form = {"username": name, "password": "a wrong password of no account", "csrf": csrf}
    answer, _, seconds = ask("POST", urllib.parse.urlencode(form), cookie)
    if answer.status != 401:
        sys.exit(f"a wrong password was answered with {answer.status}, not 401")
    return seconds * 1e3

rounds = [(kind, f"{kind}-{n}") for n in range(1, names + 1) for kind in ("person", "nobody")] * tries
random.shuffle(rounds)
for kind, _ in rounds[:10]:
    wrong(f"warm-{random.random()}")
times = {"person": [], "nobody": []}
for kind, name in rounds:
    times[kind].append(wrong(name))

median = statistics.median
def gap(a, b):
    return median(a) - median(b)
known, unknown = times["person"], times["nobody"]
seen = gap(known, unknown)
both, as_much = known + unknown, 0
for _ in range(2000):
    random.shuffle(both)
    as_much += abs(gap(both[: len(known)], both[len(known) :])) >= abs(seen)
for title, values in (("names that exist", known), ("names that do not", unknown)):
    spread = statistics.quantiles(values, n=10)
    print(f"{title}: median {median(values):.2f} ms, p10 {spread[0]:.2f}, p90 {spread[-1]:.2f}, {len(values)} tries")
print(f"medians differ by {seen:+.3f} ms, ratio {median(known) / median(unknown):.4f}")
print(f"by chance as much or more in {as_much / 20:.1f} of 100 cases")
PYTHON
