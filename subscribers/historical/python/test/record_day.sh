#!/usr/bin/env bash
# Records a day in Shanghai through a real bus: record_day.sh BIN DATA FOLDER makes FOLDER/log. Exit 77 without the data.
set -euo pipefail
bin=$1 data=$2 folder=$3
if [ ! -f "$data/sse-600519/2023-02-07.log.zst" ]; then
  echo "record_day.sh: no recordings in $data; name their folder in MILLRACE_DATA" >&2
  exit 77
fi
# Books must all be in the log here, so that topic blocks rather than lives on.
cat > "$folder/millrace.toml" <<TOML
default_topics = false
[core]
runtime_dir = "$folder/run"
log_dir = "$folder/log"
[gateway]
enabled = false
[topics."system.health"]
[topics.trade_events]
segment_bytes = "1 MiB"
[topics.market_l2]
segment_bytes = "4 MiB"
stall_policy = "block"
ring_bytes = "20 MB"
TOML
"$bin/millraced" --config "$folder/millrace.toml" --log-level warn &
core=$!
trap 'kill $core 2> /dev/null; wait $core || true' EXIT
tries=0
until "$bin/millrace" status --socket "$folder/run/control.sock" > /dev/null 2>&1; do
  tries=$((tries + 1))
  [ $tries -lt 600 ] || { echo "record_day.sh: the core does not come up" >&2; exit 1; }
  read -rt 0.1 <> <(:) || true
done
"$bin/millrace-market" sse "$data/sse-600519/2023-02-07.log.zst" --instrument 600519 --midnight 1675699200 \
  --socket "$folder/run/control.sock"
