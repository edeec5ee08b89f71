#!/usr/bin/env bash
# vpi: timeout=120
# tests/virtual-pi/test_module_compliance.sh - v4l2-compliance on both nodes of the codec, streaming
# too, with the module's own buffers and with imports of the camera's.
#
# old_names=1: Debian 12's tool knows NV12 by the name that it had before kernel 6.0.
# sequence_stuck=0: the Pi's buffers are all numbered 0, which the tool rightly calls a fault.
set -euo pipefail

parameters=/sys/module/vpicodec/parameters
command -v v4l2-compliance >/dev/null || { echo "skipped: no v4l2-compliance"; exit 77; }
[ -d $parameters ] || { echo "skipped: needs the module vpicodec: tests/virtual-pi/vpi test $0"; exit 77; }
echo 1 >$parameters/old_names
echo 0 >$parameters/sequence_stuck

failed=0
check() {
    local said
    said=$(v4l2-compliance "$@" 2>&1 | tr '\r' '\n' || true)
    if grep -q '^Total.*Failed: 0, Warnings: 0$' <<<"$said"; then
        grep '^Total' <<<"$said"
    else
        echo "v4l2-compliance $*:"
        grep -vE ': OK|Frame #' <<<"$said"
        failed=1
    fi
}

for node in /dev/video11 /dev/video12; do
    check -d $node -s
    [ ! -e /dev/video0 ] || check -d $node -s -e /dev/video0
done
for counter in contexts buffers imports; do
    [ "$(cat $parameters/live_$counter)" = 0 ] || { echo "live_$counter is not 0"; failed=1; }
done
exit $failed
