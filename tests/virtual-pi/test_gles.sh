#!/bin/bash
# vpi: memory=1024 timeout=400
# tests/virtual-pi/test_gles.sh - the GL scaler on real dma-bufs (gles.c).
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
# Mesa looks for a driver of the node's own before it draws with the CPU, and says so each time.
"${PETCAM_BUILD:-$root/build}/tests/virtual-pi/vpi_gles" 2>&1 |
	{ grep -v 'MESA-LOADER\|failed to load driver\|driver missing' || true; }
