#!/usr/bin/env bash
# Builds the container image from the Dockerfile with buildah, and prints its archive:
# target/packages/vestibule-image.tar (OCI). Needs root.
#
#   scripts/image.sh             builds the program inside, as the Dockerfile says
#   scripts/image.sh PROGRAM     takes this program, built on Debian bookworm, in place of the build stage
#
# VESTIBULE_BASES=registry pulls the base images that the Dockerfile names. Otherwise they are made here, with
# debootstrap and the Rust toolchain in use, under the same names: no registry is needed.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/install.sh
need buildah buildah
need debootstrap debootstrap
install_needed >&2
. scripts/base.sh
bases=${VESTIBULE_BASES:-debootstrap}
SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export STORAGE_DRIVER=vfs REGISTRIES_CONFIG_PATH="$work/registries.conf"
echo 'unqualified-search-registries = ["docker.io"]' >"$work/registries.conf"
echo '{"default": [{"type": "insecureAcceptAnything"}]}' >"$work/policy.json"
b() { buildah --root "$work/images" --runroot "$work/run" "$@"; }

# Makes an image of a directory.
from_directory() {
    local name=$1 directory=$2 container
    container=$(b from scratch)
    b copy --quiet "$container" "$directory" / >/dev/null
    shift 2
    [ $# -eq 0 ] || b config "$@" "$container"
    b commit --quiet --signature-policy "$work/policy.json" "$container" "$name" >/dev/null
    b rm "$container" >/dev/null
}

# The base of the final stage: glibc, libgcc, CA certificates, time zones and the user nonroot, without a shell.
runtime_base() {
    base_system base-runtime ca-certificates,tzdata >&2
    mkdir -p "$work/debian" "$work/runtime"/{etc,tmp,run,proc,sys,dev,home/nonroot,var,usr/lib,usr/lib64}
    # Debian merges /lib into /usr/lib.
    ln -s usr/lib "$work/runtime/lib"
    ln -s usr/lib64 "$work/runtime/lib64"
    tar -C "$work/debian" -xf target/packages/base-runtime.tar
    local package
    for package in base-files libc6 libgcc-s1 tzdata ca-certificates netbase; do
        local list="$work/debian/var/lib/dpkg/info/$package"
        [ -e "$list.list" ] || list="$list:$(dpkg --print-architecture)"
        [ ! -e "$list.list" ] || grep -vE '^/\.$|^/usr/share/(doc|man|lintian|locale)|^/usr/s?bin/|^/s?bin/' "$list.list" |
            (cd "$work/debian" && while read -r file; do
                [ -L ".$file" ] || [ -f ".$file" ] || continue
                [ "$file" = /lib ] || [ "$file" = /lib64 ] || echo ".$file"
            done) | tar -C "$work/debian" --no-recursion -cf - -T - | tar -C "$work/runtime" --keep-directory-symlink -xf -
    done
    mkdir -p "$work/runtime/etc/ssl/certs"
    cp "$work/debian/etc/ssl/certs/ca-certificates.crt" "$work/runtime/etc/ssl/certs/"
    printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' \
        >"$work/runtime/etc/passwd"
    printf 'root:x:0:\nnonroot:x:65532:\n' >"$work/runtime/etc/group"
    chmod 1777 "$work/runtime/tmp"
    from_directory gcr.io/distroless/cc-debian12:nonroot "$work/runtime"
    rm -rf "$work/debian" "$work/runtime"
}

# The base of the build stage: Debian with the toolchain of this machine, and the CAs that it trusts, such as that of
# its proxy. The final stage has Debian's.
build_base() {
    base_system base-build ca-certificates,gcc,libc6-dev,cmake,make >&2
    mkdir "$work/build"
    tar -C "$work/build" -xf target/packages/base-build.tar
    cp -L /etc/ssl/certs/ca-certificates.crt "$work/build/etc/ssl/certs/"
    mkdir -p "$work/build/usr/local/rust"
    cp -a "$(rustc --print sysroot)/." "$work/build/usr/local/rust/"
    rm -rf "$work/build/usr/local/rust/share/doc"
    from_directory docker.io/library/rust:1.95-slim-bookworm "$work/build" \
        --env PATH=/usr/local/rust/bin:/usr/local/bin:/usr/bin:/bin
    rm -rf "$work/build"
}

options=(--signature-policy "$work/policy.json" --isolation=chroot --network=host --layers=false
    --timestamp "$SOURCE_DATE_EPOCH" --tag localhost/vestibule:latest)
if [ "$bases" = registry ]; then
    options+=(--pull)
else
    options+=(--pull=never)
    runtime_base
fi
if [ $# -gt 0 ]; then
    # The final stage alone, with the files that the build stage would leave in /out.
    mkdir -p "$work/context/out/etc/vestibule" "$work/context/out/var/lib"
    install -D -m 755 "$1" "$work/context/out/usr/local/bin/vestibule"
    install -d -m 700 -o 65532 -g 65532 "$work/context/out/var/lib/vestibule"
    sed -n '/^FROM gcr.io/,$p' Dockerfile | sed 's|COPY --from=build /out/ /|COPY out/ /|' >"$work/context/Dockerfile"
    b build "${options[@]}" "$work/context" >&2
else
    [ "$bases" = registry ] || build_base
    b build "${options[@]}" . >&2
fi
rm -f target/packages/vestibule-image.tar
b push --quiet --signature-policy "$work/policy.json" localhost/vestibule:latest \
    oci-archive:target/packages/vestibule-image.tar:vestibule:latest >&2
echo target/packages/vestibule-image.tar
