#!/usr/bin/env bash
# A session on a borrowed GPU: measure the speeds, train for some minutes, save the weights in parts.
#
#   recipes/gpu/session.sh RUN OUT MINUTES CONFIG [KEY=VALUE ...]
#
# RUN: the run's directory; an existing run continues.
# OUT: the directory for all files to take home; no file is larger than PART_BYTES (15 MB).
# MINUTES: minutes of training, with its start.
# At home, check and join the parts:
#   cd OUT && sha256sum -c SHA256SUMS
#   mkdir -p RUN/checkpoints && cp config.toml metrics.jsonl RUN
#   cat last.part-* > RUN/checkpoints/last.safetensors
# Then continue the run there, or export it.
# SPEED_MINUTES=0 skips the speeds; SPEED_OPTIONS has options for hours_per_hour.py.
set -eu
run=$1 out=$2 minutes=$3 config=$4
shift 4
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"

sets=()
for setting in "$@"; do sets+=(--set "$setting"); done
if [ "${SPEED_MINUTES:-1}" != 0 ]; then
    # shellcheck disable=SC2086  # several options in one variable
    "${PYTHON:-python}" "$here/hours_per_hour.py" --minutes "${SPEED_MINUTES:-1}" \
        ${SPEED_OPTIONS:-} | tee "$out/speeds.md"
fi

if [ -e "$run/config.toml" ]; then words=("$run"); else words=("$config" -o "$run"); fi
status=0
timeout --signal=TERM "${minutes}m" "${PYTHON:-python}" -m ds2 train "${words[@]}" "${sets[@]}" \
    2>&1 | tee -a "$out/train.log" || status=${PIPESTATUS[0]}
[ "$status" = 0 ] || [ "$status" = 124 ] || { echo "ds2 train: exit status $status" >&2; exit "$status"; }

rm -f "$out"/last.part-*
[ -e "$run/checkpoints/last.safetensors" ] || { echo "no checkpoint after $minutes minutes" >&2; exit 1; }
split --bytes="${PART_BYTES:-15000000}" --numeric-suffixes --suffix-length=3 \
    "$run/checkpoints/last.safetensors" "$out/last.part-"
cp "$run/config.toml" "$run/metrics.jsonl" "$out"
(cd "$out" && sha256sum last.part-* config.toml metrics.jsonl > SHA256SUMS && ls -l)
