#!/usr/bin/env bash
# The exhaustive forms of the tests (kill points, long fuzzing): minutes to an hour. CI does not wait for them.
set -euo pipefail
cd "$(dirname "$0")/.."
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
pytest -m long "$@"
