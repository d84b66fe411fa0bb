#!/bin/bash
# Runs inside the container, as a unit: see scripts/deb-test.sh.
set -euo pipefail
cd /root
trap 'echo "failed at line $LINENO"' ERR
password=seven-owls-paint-the-fence
host=app.example.com
config=/etc/vestibule/vestibule.toml
export DEBIAN_FRONTEND=noninteractive

step() { printf '%s\n' "- $*"; }
fail() {
    echo "FAILED: $*"
    exit 1
}
# Asks the gateway as a browser does that navigates within the site.
ask() {
    curl -sS --max-time 20 --cacert cert.pem --resolve "$host:443:127.0.0.1" --resolve "$host:80:127.0.0.1" \
        -b jar -c jar -H "Origin: https://$host" -H 'Sec-Fetch-Site: same-origin' -H 'Sec-Fetch-Mode: navigate' \
        -H 'Sec-Fetch-Dest: document' -H 'Accept: text/html' "$@"
}
csrf() { sed -n 's/.*name="csrf"[^>]*value="\([^"]*\)".*/\1/p' | head -n 1; }
status() { ask -o /dev/null -w '%{http_code}' "$@"; }
is() { [ "$2" = "$3" ] || fail "$1: $2, not $3"; }
# Fails if a user without rights reads a file.
private() {
    ! setpriv --reuid=65534 --regid=65534 --clear-groups cat "$1" >/dev/null 2>&1 || fail "anyone can read $1"
}
signed_in() { is "the app, signed in, $1" "$(status "https://$host/")" 200; }

systemctl start app.socket

step "install the older version"
dpkg -i old.deb
is "the service before it is configured" "$(systemctl is-active vestibule.service || true)" inactive
is "the mode of the configuration" "$(stat -c '%a %U:%G' $config)" "640 root:vestibule"
is "the mode of the data" "$(stat -c '%a %U:%G' /var/lib/vestibule)" "700 vestibule:vestibule"
is "the shell of the user" "$(getent passwd vestibule | cut -d: -f7)" /usr/sbin/nologin
private $config
[ -e /usr/share/man/man1/vestibule-serve.1.gz ] || fail "no manual page"
bash -c '. /usr/share/bash-completion/completions/vestibule && complete -p vestibule' >/dev/null
systemd-analyze verify --man=no /usr/lib/systemd/system/vestibule.service
exposure=$(systemd-analyze security --no-pager vestibule.service | sed -n 's/.*: \([0-9.]*\) .*/\1/p' | tail -n 1)
echo "  exposure: $exposure"
awk -v e="$exposure" 'BEGIN { exit !(e < 2.0) }' || fail "exposure $exposure"

step "configure it, and add a user before the first start"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj "/CN=$host" \
    -addext "subjectAltName=DNS:$host" -keyout key.pem -out cert.pem 2>/dev/null
install -m 640 -g vestibule cert.pem /etc/vestibule/tls/fullchain.pem
install -m 640 -g vestibule key.pem /etc/vestibule/tls/privkey.pem
private /etc/vestibule/tls/privkey.pem
vestibule check >/dev/null
vestibule user add alice --password-stdin <<<"$password"
step "start"
systemctl enable --now vestibule.socket vestibule.service
is "the service" "$(systemctl is-active vestibule.service)" active
vestibule check --online | tail -n 6
private /var/lib/vestibule/keys.toml
is "the owner of the keys" "$(stat -c '%a %U' /var/lib/vestibule/keys.toml)" "600 vestibule"
pid=$(systemctl show -P MainPID vestibule.service)
is "the user of the process" "$(stat -c %U "/proc/$pid")" vestibule

step "no request passes without a session"
is "plain http" "$(status "http://$host/")" 308
is "without a session" "$(status "https://$host/")" 303
[ ! -e seen ] || fail "the app was reached"

step "sign in: password, then enrolment"
token=$(ask "https://$host/_auth/login" | csrf)
is "the password" "$(status --data-urlencode "csrf=$token" -d username=alice -d "password=$password" "https://$host/_auth/login")" 303
ask "https://$host/_auth/enroll" >page
token=$(csrf <page)
secret=$(tr -d '\n' <page | sed -n 's/.*id="totp-secret"[^>]*>\([^<]*\)<.*/\1/p' | tr -d ' ')
is "the code" "$(status --data-urlencode "csrf=$token" -d "code=$(oathtool --totp -b "$secret")" "https://$host/_auth/enroll")" 303
signed_in "after the sign-in"
grep -q '^GET / ' seen || fail "the app did not get the request"
grep -qi '^remote-user: alice' seen || fail "the app did not get the user"

step "reload"
systemctl reload vestibule.service
signed_in "after the reload"

step "upgrade, while it runs"
dpkg -i new.deb
is "the service after the upgrade" "$(systemctl is-active vestibule.service)" active
[ "$(systemctl show -P MainPID vestibule.service)" != "$pid" ] || fail "the old process still runs"
signed_in "after the upgrade"
grep -q tls/fullchain $config || fail "the configuration was replaced"
is "the mode of the configuration" "$(stat -c '%a %U:%G' $config)" "640 root:vestibule"
is "the mode of the logs" "$(stat -c '%a %U:%G' /var/log/vestibule)" "750 vestibule:vestibule"

step "go back to the older version, while it runs, and upgrade again"
for package in old.deb new.deb; do
    pid=$(systemctl show -P MainPID vestibule.service)
    dpkg -i $package
    is "the service after $package" "$(systemctl is-active vestibule.service)" active
    [ "$(systemctl show -P MainPID vestibule.service)" != "$pid" ] || fail "the former process still runs"
    signed_in "after $package"
done

step "upgrade with a configuration that the new version rejects: the old process stays"
pid=$(systemctl show -P MainPID vestibule.service)
cp -p $config good.toml
echo 'unknown = 1' >>$config
dpkg -i new.deb
is "the process" "$(systemctl show -P MainPID vestibule.service)" "$pid"
signed_in "on the old process"
cp -p good.toml $config

step "remove: the service ends, the data stays"
dpkg -r vestibule
is "the service" "$(systemctl is-active vestibule.service || true)" inactive
[ ! -e /usr/bin/vestibule ] || fail "the program is left"
[ -e /var/lib/vestibule/accounts.db ] || fail "the accounts are gone"
[ -e $config ] || fail "the configuration is gone"
! status "https://$host/" 2>/dev/null || fail "something still listens"

step "install again: the session is still valid"
dpkg -i new.deb
is "the service, not started by itself" "$(systemctl is-active vestibule.service || true)" inactive
systemctl start vestibule.service
signed_in "after the second installation"

step "purge"
dpkg -P vestibule
left=$(find / -xdev \( -path /root -o -path /proc -o -path /sys -o -path /run \) -prune -o -name '*vestibule*' -print)
is "what is left" "$left" ""
is "packages" "$(dpkg -l vestibule 2>/dev/null | grep -c ^ii || true)" 0
echo passed >result
step "passed"
