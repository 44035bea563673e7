#!/usr/bin/env bash
# What the console does, seen from a browser: starts the proxy and small origins, opens Chromium, clicks.
# Needs node 20 or newer, npm and Chromium (CHROMIUM says where, if it is not on the PATH); without them it
# says so and is content. GNOMON says which program; otherwise it is built. What is said behind goes to node:
#
#     tests/console/run.sh --test-name-pattern=abort rollout.test.mjs
#
# With `screenshots`, it makes the pictures of docs/console instead.
set -euo pipefail
cd "$(dirname "$0")"

skip() {
    printf 'the console is not tested: %s\n' "$1"
    exit 0
}

command -v node >/dev/null || skip 'node is not installed (most systems have a package nodejs)'
command -v npm >/dev/null || skip 'npm is not installed'
(($(node -p 'process.versions.node.split(".")[0]') >= 20)) || skip "node is $(node --version), and 20 is needed"
if [[ -z ${CHROMIUM:-} ]]; then
    CHROMIUM=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
        skip 'there is no chromium (most systems have a package of that name)'
fi
export CHROMIUM

# Two packages, nothing of theirs is run, and no browser is fetched.
if ! cmp -s package-lock.json node_modules/.lock-of; then
    npm ci --ignore-scripts --no-audit --no-fund --loglevel=error ||
        skip 'its two packages cannot be installed here'
    cp package-lock.json node_modules/.lock-of
fi

if [[ -z ${GNOMON:-} ]]; then
    (cd ../.. && cargo build --locked --quiet -p gnomon)
    target=${CARGO_TARGET_DIR:-../../target}
    GNOMON=$target/debug/gnomon
fi
GNOMON=$(realpath "$GNOMON")
export GNOMON

if [[ ${1:-} == screenshots ]]; then
    shift
    exec node screenshots.mjs "$@"
fi

# Each file starts what it needs and ends it; one after another, as there are seconds in what they measure.
options=() files=()
for word in "$@"; do
    if [[ $word == -* ]]; then options+=("$word"); else files+=("$word"); fi
done
((${#files[@]})) || files=(*.test.mjs)
exec node --test --test-concurrency=1 --test-reporter=spec --test-timeout=150000 "${options[@]}" "${files[@]}"
