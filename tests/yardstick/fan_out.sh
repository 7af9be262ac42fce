#!/bin/sh
# Measures how many hear of one change: live queries of the framework, a WebSocket room written by hand with axum, and one with
# Socket.IO in Node, alternately, and prints the medians.
#
#   npm install --prefix target/npm socket.io@4.8.4
#   MODELLER_NPM=target/npm tests/yardstick/fan_out.sh [ROUNDS] [CLIENTS…]
#
# The server has one processor and the load another, where there are two. Only the ratios of one run mean anything.
set -eu

rounds=${1:-3}
test "$#" -eq 0 || shift
clients=${*:-1000 5000}

cd "$(dirname "$0")/../.."
bin=${CARGO_TARGET_DIR:-target}/release
work=$(mktemp -d)
server=
trap 'test -z "$server" || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
ulimit -n "$(ulimit -H -n)"

cargo build --release --quiet -p yardstick

on_first= on_second=
if command -v taskset >/dev/null && [ "$(nproc)" -ge 2 ]; then
    on_first='taskset -c 0' on_second='taskset -c 1'
fi

# measure LABEL ROOM CLIENTS WINDOW: one fresh server.
measure() {
    case $1 in
        subject) SUBJECT_MEMORY=1 $on_first "$bin/subject" --addr 127.0.0.1:0 >"$work/out" & ;;
        yardstick) $on_first "$bin/yardstick" --addr 127.0.0.1:0 >"$work/out" & ;;
        node) $on_first node tests/yardstick/src/node/room.mjs >"$work/out" & ;;
    esac
    server=$!
    url=
    while [ -z "$url" ]; do
        kill -0 "$server"
        sleep 0.1
        url=$(sed -n 's/.*\(http:\/\/[0-9.:]*\).*/\1/p' "$work/out" | head -n 1)
    done
    $on_second "$bin/load" fan-out --url "$url" --pid "$server" --label "$1" --room "$2" --clients "$3" --window "$4" \
        --changes "${CHANGES:-200}" >"$work/line"
    cat "$work/line" >>"$work/results"
    cat "$work/line" >&2
    kill "$server"
    wait "$server" || true
    server=
}

round=0
while [ "$round" -lt "$rounds" ]; do
    for many in $clients; do
        for window in 1 20; do
            measure subject live "$many" "$window"
            measure yardstick plain "$many" "$window"
            measure node socketio "$many" "$window"
        done
    done
    round=$((round + 1))
done
"$bin/load" fan-out-report <"$work/results"
