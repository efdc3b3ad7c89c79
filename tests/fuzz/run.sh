#!/usr/bin/env bash
# Runs each fuzz target, or those that are named, for this many seconds: run.sh SECONDS [TARGET…]
# New inputs go to corpus/, which is not committed; seeds/ is what a fresh clone starts from.
set -euo pipefail
cd "$(dirname "$0")"
seconds=$1
shift
[ $# -gt 0 ] || set -- sealed_blob selector json_body http_bytes slot_params vault_image dotenv_import \
    broker_head client_hello rules scrubber websocket_frames body_field aws_signature
# The flags that cargo-fuzz gives the compiler are nightly's; where there is none, a stable one takes them when asked to.
nightly=
if rustup toolchain list 2> /dev/null | grep --quiet '^nightly'; then nightly=+nightly; else export RUSTC_BOOTSTRAP=1; fi
for target in "$@"; do
    mkdir -p "corpus/$target"
    # The limit on one allocation is what shows a forged cost that is believed.
    limits=(-timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=64)
    # SQLite takes what a forged row claims to be long, up to the 64 MiB that the store allows it.
    [ "$target" != vault_image ] || limits+=(-malloc_limit_mb=80)
    cargo $nightly fuzz run --fuzz-dir . "$target" "corpus/$target" "seeds/$target" -- \
        -max_total_time="$seconds" -print_final_stats=1 "${limits[@]}"
done
