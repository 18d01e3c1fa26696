#!/usr/bin/env bash
# Runs the tests that need nothing but Node on other versions of it than that of the machine, as built by `npm run build:test`.
# Left out are those that look at other programs and take their time: test/browser but for HTTP/2, which is Node's as much as the
# browser's, the proxies in front, the networks that lose packets, brokers, neighbours on the server, the runners of tests.
set -euo pipefail
cd "$(dirname "$0")/../.."

npm --prefix test/node-versions --engine-strict=false --no-audit --no-fund ci >/dev/null

tests=(.test-build/test/browser/http2.test.js)
for file in .test-build/test/*.test.js; do
  case $file in
    */proxies.* | */dying-peers.* | */backplane.* | */neighbours.* | */libraries.* | */demo.* | */testing.runners.*) ;;
    *) tests+=("$file") ;;
  esac
done

for bin in "$PWD"/test/node-versions/node_modules/node-*/bin; do
  began=$SECONDS
  # First in PATH, for the processes that tests start
  PATH="$bin:$PATH" node --enable-source-maps --import ./.test-build/test/support/watchdog.js \
    --test --test-concurrency=2 --test-reporter=dot "${tests[@]}"
  printf '%s: passed in %d s\n' "$("$bin/node" --version)" "$((SECONDS - began))"
done
