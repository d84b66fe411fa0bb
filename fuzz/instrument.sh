#!/bin/sh
# A RUSTC_WORKSPACE_WRAPPER for scripts/fuzz.sh: compiles this project's crates, and no dependency, with the
# coverage counters that libFuzzer reads. All flags are stable.
exec "$@" -Cpasses=sancov-module -Ccodegen-units=1 \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares
