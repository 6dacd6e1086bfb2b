#!/usr/bin/env bash
# Builds and tests everything, as CI does, on Debian 12: installs missing packages, then runs the stages
# in order and stops at the first that fails.
#
#   tests/all.sh                  asan tsan tidy release dev
#   tests/all.sh dev asan         only these, in this order
#
# Each stage prints its name when it starts and its seconds when it ends. The last stage ends with
# ctest's own summary.
set -euo pipefail
cd "$(dirname "$0")/.."

# stage NAME COMMAND...: runs the command between two lines that name the stage.
stage() {
    local name=$1 start=$SECONDS status=0
    shift
    echo "=== $name"
    "$@" || status=$?
    if [ "$status" -ne 0 ]; then
        echo "=== $name: FAILED after $((SECONDS - start)) s"
        exit "$status"
    fi
    echo "=== $name: $((SECONDS - start)) s"
}

build() {
    cmake --preset "$1" && cmake --build --preset "$1"
}

main() {
    local presets=("$@") preset
    if [ ${#presets[@]} -eq 0 ]; then
        presets=(asan tsan tidy release dev)
    fi
    local last=${presets[-1]}
    unset 'presets[-1]'
    stage packages docker/install.sh
    for preset in "${presets[@]}"; do
        stage "$preset" cmake --workflow --preset "$preset"
    done
    case $last in
    tidy | fuzz)
        stage "$last" build "$last"
        ;;
    *)
        stage "$last: build" build "$last"
        echo "=== $last: test (stages so far: $SECONDS s)"
        exec ctest --preset "$last"
        ;;
    esac
}

main "$@"
