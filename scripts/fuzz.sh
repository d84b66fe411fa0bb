#!/usr/bin/env bash
# Runs each fuzz target for a time, with the stable compiler. Stops at the first input that crashes one;
# fuzz/artifacts keeps it.
#
#   scripts/fuzz.sh [SECONDS [TARGET...]]      60 seconds by default
#   scripts/fuzz.sh 0                          runs each seed once, without coverage
#
# Move an input that crashed a target to fuzz/seeds/TARGET once the parser is fixed.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds="${1:-60}"
[ $# -eq 0 ] || shift
. scripts/install.sh
need_to_build
need g++ g++
install_needed

if [ "$seconds" != 0 ]; then
    export RUSTC_WORKSPACE_WRAPPER="$PWD/fuzz/instrument.sh"
fi
cargo build --locked -p vestibule-fuzz
built="${CARGO_TARGET_DIR:-target}/debug"

targets=("$@")
if [ $# -eq 0 ]; then
    for source in fuzz/src/bin/*.rs; do
        targets+=("$(basename "$source" .rs)")
    done
fi
for target in "${targets[@]}"; do
    case "$target" in
        config) seeds=(config) ;;
        return_to) seeds=(tests/corpus) ;;
        *) seeds=() ;;
    esac
    [ ! -d "fuzz/seeds/$target" ] || seeds+=("fuzz/seeds/$target")
    printf '\n=== %s\n' "$target"
    if [ "$seconds" = 0 ]; then
        find "${seeds[@]}" -type f -exec "$built/$target" {} + 2>&1 | tail -n 1
        continue
    fi
    mkdir -p "fuzz/corpus/$target" fuzz/artifacts
    "$built/$target" "fuzz/corpus/$target" "${seeds[@]}" -max_total_time="$seconds" -max_len=16384 -timeout=10 \
        -artifact_prefix="fuzz/artifacts/$target-" -print_final_stats=1 2>"fuzz/artifacts/$target.log" || {
        tail -n 40 "fuzz/artifacts/$target.log"
        exit 1
    }
    grep -E '^(Done|stat::(number_of_executed_units|new_units_added))' "fuzz/artifacts/$target.log"
done
