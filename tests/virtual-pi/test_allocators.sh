#!/bin/bash
# vpi: memory=1024 timeout=120
# tests/virtual-pi/test_allocators.sh - buffers of the heap, of DRM and of the encoder (allocators.c).
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
exec "${PETCAM_BUILD:-$root/build}/tests/virtual-pi/vpi_allocators"
