#!/usr/bin/env bash
# selftest.sh - the runner itself, on the host: what goes wrong in a session is told from what
# works, and nothing of it stays behind.
set -euo pipefail
cd "$(dirname "$0")"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# expect NAME STATUS PATTERN ARGS...: vpi run ARGS ends with STATUS and says PATTERN.
expect() {
    local name=$1 wanted=$2 pattern=$3 status=0
    shift 3
    ./vpi run "$@" >"$work/out" 2>"$work/err" || status=$?
    if [ "$status" -eq "$wanted" ] && grep -qE -e "$pattern" "$work/out" "$work/err"; then
        echo "ok   $name"
    else
        echo "FAIL $name: status $status, wanted $wanted and \"$pattern\"; it said:"
        sed 's/^/    /' "$work/out" "$work/err"
        failed=1
    fi
}

expect "status, output, environment" 7 '^a "b" c$' --no-modules --env 'X=a "b" c' -- \
    bash -c 'echo "$X"; echo error >&2; exit 7'
grep -qx error "$work/err" || { echo "FAIL stderr is not kept apart"; failed=1; }
expect "a share is written to, the rest is not" 0 '^written$' --no-modules --share "$work" -- \
    bash -c 'echo here >"$1/file" && echo lost >/etc/vpi-selftest && echo written' - "$work"
[ "$(cat "$work/file" 2>/dev/null)" = here ] || { echo "FAIL the share was not written"; failed=1; }
[ ! -e /etc/vpi-selftest ] || { echo "FAIL the host was written"; failed=1; }
expect "network, nodes, debugfs" 0 '^all$' --no-modules -- bash -c '
    set -e
    ping -c 1 -W 2 127.0.0.1 >/dev/null 2>&1 || busybox ping -c 1 -W 2 127.0.0.1 >/dev/null
    python3 -c "
import socket
with socket.create_server((\"::\", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
    for host in \"127.0.0.1\", \"::1\":
        socket.create_connection((host, server.getsockname()[1]), 5).close()
"
    test -w /dev/shm -a -c /dev/null -a -L /dev/fd -a -f /sys/kernel/debug/dma_buf/bufinfo
    echo all'
expect "over its limit" 124 'over its limit of 3 s' --no-modules --timeout 3 -- sleep 60
expect "the kernel panics" 125 'the kernel panicked' --no-modules -- \
    bash -c 'echo c >/proc/sysrq-trigger; sleep 60'
expect "the kernel complains" 123 'the kernel complained' --no-modules -- \
    bash -c 'echo "<4>WARNING: selftest" >/dev/kmsg'
expect "a camera that cannot be" 125 'did not start: vivid has no timing' --timing 123x45p6 -- true
expect "the machine is whole" 0 'video0' -- bash -c '
    set -e
    ls /dev/video* /dev/dma_heap/linux,cma /dev/dri/card0
    v4l2-ctl -d /dev/video0 --query-dv-timings | grep -q "Active width: 1280"'

./vpi run --no-modules --timeout 60 -- bash -c 'echo up; sleep 60' >"$work/out" 2>&1 &
pid=$!
until grep -q up "$work/out" || ! kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
kill -KILL "$(pgrep -P "$pid" linux)"
status=0
wait "$pid" || status=$?
if [ "$status" -eq 125 ] && grep -q 'the kernel hung' "$work/out"; then
    echo "ok   the kernel dies"
else
    echo "FAIL the kernel dies: status $status"
    failed=1
fi

./vpi run --no-modules --timeout 60 -- sleep 50 >"$work/out" 2>&1 &
pid=$!
until child=$(pgrep -P "$pid" linux) || ! kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
kill "$pid"
wait "$pid" 2>/dev/null || true
if pgrep -g "$child" >/dev/null; then
    echo "FAIL a runner that was killed left its kernel"
    failed=1
else
    echo "ok   a runner that is killed takes its kernel along"
fi
exit "$failed"
