#!/bin/bash
# vpi: memory=1024 timeout=240 machines=uml,amd64,arm64
# tests/virtual-pi/test_members.sh - encoder and scaler members against the virtual codec (members.c).
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
exec "${PETCAM_BUILD:-$root/build}/tests/virtual-pi/vpi_members"
