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

. "$(dirname "$0")/alternate.sh"
ulimit -n "$(ulimit -H -n)"

cargo build --release --quiet -p yardstick

# measure LABEL ROOM CLIENTS WINDOW: one fresh server.
measure() {
    case $1 in
        subject) serve env SUBJECT_MEMORY=1 "$bin/subject" --addr 127.0.0.1:0 ;;
        yardstick) serve "$bin/yardstick" --addr 127.0.0.1:0 ;;
        node) serve node tests/yardstick/src/node/room.mjs ;;
    esac
    load fan-out --label "$1" --room "$2" --clients "$3" --window "$4" --changes "${CHANGES:-200}"
    stop
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
