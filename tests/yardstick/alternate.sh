# What the measurements share, which read this: a folder, a processor for the server and one for the load where there are two, and a
# server that is started anew for each measurement.

cd "$(dirname "$0")/../.."
bin=${CARGO_TARGET_DIR:-target}/release
work=$(mktemp -d)
server=
trap 'test -z "$server" || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT

on_first= on_second=
if command -v taskset >/dev/null && [ "$(nproc)" -ge 2 ]; then
    on_first='taskset -c 0' on_second='taskset -c 1'
fi

# serve COMMAND…: starts a server that prints where it is, and waits until it does.
serve() {
    $on_first "$@" >"$work/out" &
    server=$!
    url=
    while [ -z "$url" ]; do
        kill -0 "$server"
        sleep 0.1
        url=$(sed -n 's/.*\(http:\/\/[0-9.:]*\).*/\1/p' "$work/out" | head -n 1)
    done
}

# load ARGUMENTS…: the load for it; what it prints is kept and shown.
load() {
    $on_second "$bin/load" "$@" --url "$url" --pid "$server" >"$work/lines"
    cat "$work/lines" >>"$work/results"
    cat "$work/lines" >&2
}

stop() {
    kill "$server"
    wait "$server" || true
    server=
    rm -rf "$work/data"
}
