#!/usr/bin/env bash
# Makes everything that a release consists of, in target/release-files: the program, the Debian package, the
# container image, the Helm chart, the list of dependencies (SBOM, CycloneDX) and checksums. Needs root.
#
#   scripts/release.sh                builds the program with the profile "dist"
#   scripts/release.sh PROGRAM        takes this program
#   scripts/release.sh --twice [...]  makes the program and the package twice and compares the bytes
#
# The sources must be committed: their last commit gives the times in all files.
set -euo pipefail
cd "$(dirname "$0")/.."
twice=
if [ "${1:-}" = --twice ]; then
    twice=yes
    shift
fi
. scripts/install.sh
need_to_build
need git git
install_needed
need_crate cargo-cyclonedx 0.5.9
if [ -n "$(git status --porcelain)" ]; then
    echo "There are changes that are not committed." >&2
    exit 1
fi
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH CARGO_INCREMENTAL=0
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
arch=$(dpkg --print-architecture)
out=target/release-files
rm -rf "$out"
mkdir -p "$out"
step() { printf '\n=== %s (%s s)\n' "$*" "$SECONDS"; }

# Paths of this machine are no part of the program.
build() {
    RUSTFLAGS="--remap-path-prefix=$PWD=/build --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo" \
        cargo build --profile dist --locked --bin vestibule --target-dir "$1"
}

if [ $# -gt 0 ]; then
    program=$(realpath "$1")
else
    step "build"
    build target/dist-build
    program=$PWD/target/dist-build/dist/vestibule
fi
"$program" --version | grep -qF "$version" || {
    echo "The program is not version $version." >&2
    exit 1
}
install -m 755 "$program" "$out/vestibule-$version-$arch"

step "Debian package"
package=$(scripts/deb.sh "$program")
cp "$package" "$out/"

if [ -n "$twice" ]; then
    step "the same again"
    if [ $# -eq 0 ]; then
        build target/dist-again
        cmp target/dist-again/dist/vestibule "$program"
    fi
    scripts/deb.sh "$program" >/dev/null
    cmp "$package" "$out/$(basename "$package")"
fi

step "image"
cp "$(scripts/image.sh "$program")" "$out/vestibule-$version-$arch.oci.tar"

step "chart"
chart=$(mktemp -d)
cp -r packaging/helm/vestibule "$chart/"
rm -rf "$chart/vestibule/ci"
sed -i "s/^version: .*/version: $version/; s/^appVersion: .*/appVersion: \"$version\"/" "$chart/vestibule/Chart.yaml"
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -C "$chart" -cf - vestibule |
    gzip -n >"$out/vestibule-chart-$version.tgz"
rm -rf "$chart"

step "SBOM"
# The tool writes beside the manifest.
cargo cyclonedx --format json --all --target "$(rustc -vV | sed -n 's/^host: //p')" --override-filename sbom --quiet
mv sbom.json "$out/vestibule-$version.cdx.json"
rm -f fuzz/sbom.json
python3 - "$out/vestibule-$version.cdx.json" <<'PYTHON'
import json, os, sys, tomllib
path = sys.argv[1]
# Paths of this machine are no part of it.
sbom = json.loads(open(path).read().replace(f"file://{os.getcwd()}", "file:///build"))
locked = {(p["name"], p["version"]) for p in tomllib.load(open("Cargo.lock", "rb"))["package"]}
listed = {(c["name"], c["version"]) for c in sbom["components"]}
assert listed <= locked, listed - locked
assert ("pingora-core", "0.9.1") in listed
# Two runs make the same file.
sbom.pop("serialNumber", None)
json.dump(sbom, open(path, "w"), indent=1, sort_keys=True)
print(f"{len(listed)} components")
PYTHON

(cd "$out" && sha256sum -- * >SHA256SUMS && cat SHA256SUMS)
