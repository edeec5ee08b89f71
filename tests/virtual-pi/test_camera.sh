#!/bin/bash
# vpi: memory=1024 timeout=240
# tests/virtual-pi/test_camera.sh - capture against vivid, single- and multi-planar (camera.c).
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
program=${PETCAM_BUILD:-$root/build}/tests/virtual-pi/vpi_camera
"$program" 300
modprobe -r vivid
modprobe vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=3 vid_cap_nr=0 allocators=1 multiplanar=2
"$program" mplane
