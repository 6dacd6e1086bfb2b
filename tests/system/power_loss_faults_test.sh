#!/usr/bin/env bash
# The power loss test notices what it is for: servers built with a fault put in on purpose, one that
# does not sync its log and one that answers before the sync, must fail it. Each is built in a private
# folder.
# ctest-timeout: 900
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# fails_with FAULT: builds the server with the fault; the power loss test must fail, by its verdict.
fails_with() {
    local fault=$1 build=$work/$1 status=0
    if ! {
        cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DBUILD_TESTING=OFF \
            "-D$fault=ON" && cmake --build "$build" --target cellard_program -j 2
    } >"$work/build.log" 2>&1; then
        tail -n 40 "$work/build.log"
        echo "$fault: cellard does not build"
        exit 1
    fi
    mkdir -p "$build/tests"
    cp "${CELLAR_BUILD_DIR:-build/dev}/tests/cellar_io_recorder.so" "$build/tests/"
    CELLARD=$build/bin/cellard CELLAR_BUILD_DIR=$build CELLAR_POWER_LOSS_STATES=200 \
        "${PYTHON:-/usr/bin/python3}" tests/system/power_loss_test.py >"$work/output" 2>&1 || status=$?
    if [ "$status" -eq 77 ]; then
        cat "$work/output"
        exit 77
    fi
    if [ "$status" -ne 1 ] || ! grep '^power loss: ' "$work/output"; then
        cat "$work/output"
        echo "$fault: expected the power loss test to fail with a verdict; its exit code is $status"
        exit 1
    fi
    echo "$fault: noticed"
}

fails_with CELLAR_FAULT_SKIP_LOG_SYNC
fails_with CELLAR_FAULT_ANSWER_BEFORE_SYNC
