#!/usr/bin/env bash
# What it costs nginx to ask the demo server about each request: requests a second with the configuration of docs/forward-auth/nginx.conf, next to nginx alone and nginx with a
# `map` of one key. Needs nginx, wrk and curl. Argument: seconds a run, 10 if not given. Each figure is the median of three runs.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-10}

cargo build --quiet --release --all-features --example server
here=$(mktemp -d)
chmod 711 "$here" # the workers of nginx may be those of another user
trap 'kill $(jobs -p) 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$here"' EXIT

key=a-static-key-of-this-bench-0123
mkdir -p "$here/site/reports"
head -c 1024 /dev/zero | tr '\0' x >"$here/site/index.html"
cp "$here/site/index.html" "$here/site/reports/index.html"
server=$PWD/target/release/examples/server
(cd "$here" && API_KEY_EXTERNAL=$key RUST_LOG=warn exec "$server" --listen 127.0.0.1:3000 >server.log 2>&1) &

# The example as it is, but for where its files are; and two servers beside it for comparison.
sed "s|root /srv/site;|root $here/site;|" docs/forward-auth/nginx.conf >"$here/guarded.conf"
cat >"$here/nginx.conf" <<CONF
daemon off; pid nginx.pid; error_log error.log warn; worker_processes 1;
events { worker_connections 1024; }
http {
    access_log off; keepalive_requests 1000000;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    include guarded.conf;
    map \$http_x_key \$is_known { default 0; "$key" 1; }
    server {
        listen 127.0.0.1:8081;
        root $here/site;
        location / { try_files \$uri \${uri}index.html =404; }
    }
    server {
        listen 127.0.0.1:8082;
        root $here/site;
        location / {
            if (\$is_known = 0) { return 401; }
            try_files \$uri \${uri}index.html =404;
        }
    }
}
CONF
nginx -p "$here" -c nginx.conf -e error.log &
for port in 3000 8080; do
    for _ in $(seq 100); do curl -s -o "$here/answer" "http://127.0.0.1:$port/healthz" && break || sleep 0.1; done
done

# A key of the store: minted with the static one.
stored=$(curl -s -H "X-Key: $key" -H 'Content-Type: application/json' -d '{"name":"bench","scopes":["issues:read"]}' http://127.0.0.1:3000/api/v1/keys |
    sed 's/.*"key":"\([^"]*\)".*/\1/')

whats=('nginx alone, a file of 1 KiB' 'nginx with a map of one key' 'nginx with auth_request, a static key' 'nginx with auth_request, a key of the store'
    'nginx with auth_request, a key of the store and a scope' 'the demo server itself, /api/v1/verify')
urls=(8081/ 8082/ 8080/ 8080/ 8080/reports/ 3000/api/v1/verify)
keys=("$stored" "$key" "$key" "$stored" "$stored" "$stored")
for i in "${!whats[@]}"; do
    status=$(curl -s -o "$here/answer" -w '%{http_code}' -H "X-Key: ${keys[i]}" "http://127.0.0.1:${urls[i]}")
    [ "$status" = 200 ] || { echo "${whats[i]}: answered $status" >&2; exit 1; }
done
# One after the other, three times over, so that what else the machine does falls on all of them.
for _ in 1 2 3; do
    for i in "${!whats[@]}"; do
        wrk -t1 -c32 -d"${seconds}s" --latency -H "X-Key: ${keys[i]}" "http://127.0.0.1:${urls[i]}" |
            awk '/Requests\/sec/ {rate = $2} $1 == "50%" {half = $2} $1 == "99%" {most = $2} /Non-2xx/ {bad = " (" $0 ")"} END {print rate, half, most bad}' >>"$here/runs.$i"
    done
done
echo 'requests a second, median and 99th percentile of the time they take; 32 connections; the median of three runs'
for i in "${!whats[@]}"; do
    printf '%-58s %s\n' "${whats[i]}" "$(sort -n "$here/runs.$i" | sed -n 2p)"
done
