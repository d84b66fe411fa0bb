# Sourced by the other scripts: installs missing Debian packages, if apt-get is available.
#
#   need COMMAND PACKAGE     notes PACKAGE if COMMAND is missing
#   install_needed           installs the noted packages
#   need_crate NAME VERSION  installs a Rust program in target/tools
needed_packages=()

need() {
    command -v "$1" >/dev/null 2>&1 || needed_packages+=("$2")
}

# Tools that build the crates with C code.
need_to_build() {
    need gcc gcc
    need cmake cmake
    need make make
    [ -e /usr/include/stdlib.h ] || needed_packages+=(libc6-dev)
}

install_needed() {
    [ "${#needed_packages[@]}" -gt 0 ] || return 0
    local sudo=()
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "Please install: ${needed_packages[*]}" >&2
        return 2
    elif [ "$(id -u)" != 0 ]; then
        if ! command -v sudo >/dev/null 2>&1; then
            echo "Please install (as root): ${needed_packages[*]}" >&2
            return 2
        fi
        sudo=(sudo)
    fi
    local apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get)
    "${apt[@]}" update -q
    "${apt[@]}" install -y -q --no-install-recommends "${needed_packages[@]}"
}

# need_crate NAME VERSION [ARGS...]: installs a Rust program in target/tools unless it is there, and adds
# target/tools/bin to PATH.
need_crate() {
    local name=$1 version=$2
    shift 2
    PATH="$PWD/target/tools/bin:$PATH"
    export PATH
    command -v "$name" >/dev/null 2>&1 ||
        cargo install --locked --quiet --version "$version" --root target/tools "$@" "$name"
}
