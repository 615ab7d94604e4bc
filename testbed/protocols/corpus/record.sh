#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# record.sh records receiver/internal/protocol/*/testdata/recorded anew: what real clients and
# servers say to each other. It needs what testbed/install.sh installs, and root. With names
# of protocols as arguments it records only those.
#
# It works in namespaces of its own, so that ports are free, and neither the name of the
# machine nor the paths on it can be a part of what is said.
set -euo pipefail
cd "$(dirname "$0")"
if [[ -z "${CORPUS_INSIDE:-}" ]]; then
  bin=$(mktemp -d)
  trap 'rm -rf "$bin"' EXIT
  go build -o "$bin/record" ./record
  built=$(cd ../.. && pwd)/_build
  for build in ../brokers/build.sh ../kafka/build.sh ../cassandra/build.sh ../mongodb/build.sh ../mysql/build.sh ../postgresql/build.sh \
    ../http2/install.sh ../recognise/install.sh; do
    "$build"
  done
  for name in redis memcached; do "../$name/clients/build.sh" "$built/$name"; done
  CORPUS_INSIDE=yes PRIVATE="$(hostname | grep -vx localhost | grep .... || true)" RECORD="$bin/record" unshare --net --uts --mount --pid --fork --mount-proc --kill-child "$0" "$@"
  exit
fi
ip link set lo up
hostname host
work=/srv
mount -t tmpfs tmpfs "$work"
chmod 755 "$work"
cp "$RECORD" "$work/record"
echo 'nameserver 127.0.0.1' >"$work/resolv.conf"
printf '127.0.0.1 localhost host\n' >"$work/hosts"
mount --bind "$work/hosts" /etc/hosts
[[ ! -e /etc/resolv.conf ]] || mount --bind "$work/resolv.conf" "$(readlink -f /etc/resolv.conf)"

here=$PWD
built=$(cd ../.. && pwd)/_build
out=$(cd ../../../receiver/internal/protocol && pwd)
only=" $* "
export PYTHONDONTWRITEBYTECODE=1

wanted() { [[ "$only" == "  " || "$only" == *" $1 "* ]]; }
background() { (cd "$work" && exec "$@") >>"$work/log" 2>&1 & }
as_nobody() { setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; }
listening() { # PORT
  for _ in {1..600}; do
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
    sleep 0.1
  done
  echo "nobody listens on $1" >&2
  tail -20 "$work/log" >&2
  exit 1
}
proxy=20000
failed=0
# record DIRECTORY/NAME TARGET-PORT ABOUT COMMAND...: runs the command, in which PORT stands for
# the proxy's. What has to be at a certain port is at PROXY.
record() {
  local file=$1 target=$2 about=$3
  shift 3
  proxy=$((proxy + 1))
  local port=${PROXY:-$proxy}
  mkdir -p "$out/$(dirname "$file")/testdata/recorded"
  (cd "$work" && "$work/record" ${UDP:+-udp} -about "$about" "$out/$(dirname "$file")/testdata/recorded/$(basename "$file").txt" \
    "127.0.0.1:$port" "127.0.0.1:$target" "${@//PORT/$port}") || failed=1
}
# printed SCRIPT: a truth out of what a client prints, a JSON object per line.
printed='import collections, json, sys
n = collections.Counter(eval(sys.argv[1], {"r": json.loads(l)}) for l in sys.stdin)
for line in n: print("exchanges", n[line], line)'
export printed
clients() { echo "$1" "$here/clients.py"; }
every='exchanges 1 %{method} %{http_code}\n'

if wanted http1; then
  mkdir -p "$work/www"
  for i in 1 10 100 1000; do for _ in $(seq "$i"); do echo "a line of text"; done >"$work/www/$i.txt"; done
  cat >"$work/nginx.conf" <<NGINX
pid $work/nginx.pid; user root; worker_processes 1; error_log $work/log;
events {}
http {
  access_log off; gzip on; gzip_types text/plain; gzip_min_length 1; types { text/plain txt; } client_body_temp_path $work/body; proxy_temp_path $work/proxy;
  fastcgi_temp_path $work/fastcgi; uwsgi_temp_path $work/uwsgi; scgi_temp_path $work/scgi;
  server { listen 127.0.0.1:8001; root $work/www; location /echo { proxy_pass http://127.0.0.1:8002/; } location /moved { return 301 /1.txt; } }
  server { listen 127.0.0.1:8002; location / { return 201 made; } }
}
NGINX
  background nginx -e "$work/log" -c "$work/nginx.conf" -g 'daemon off;'
  background python3 -m http.server 8003 --bind 127.0.0.1 --directory "$work/www"
  listening 8001
  listening 8003
  record http1/curl 8001 'curl and nginx: keep-alive, HEAD, 404, a redirect, chunked and compressed, a range, bodies, Expect: 100-continue' \
    curl -sS -o /dev/null -w "$every" http://127.0.0.1:PORT/1.txt http://127.0.0.1:PORT/none http://127.0.0.1:PORT/moved http://127.0.0.1:PORT/100.txt \
    --next -sS -w "$every" -I http://127.0.0.1:PORT/10.txt --next -sS -o /dev/null -w "$every" --compressed http://127.0.0.1:PORT/1000.txt \
    --next -sS -o /dev/null -w "$every" -r 5-20 http://127.0.0.1:PORT/100.txt --next -sS -o /dev/null -w "$every" -d some=form http://127.0.0.1:PORT/echo \
    --next -sS -o /dev/null -w "$every" -H 'Expect: 100-continue' -X PUT --data-binary "@$work/www/100.txt" http://127.0.0.1:PORT/echo \
    --next -sS -o /dev/null -w "$every" -X DELETE http://127.0.0.1:PORT/1.txt
  record http1/closed 8003 'curl and http.server of Python: HTTP/1.0, bodies that end with the connection' \
    curl -sS -o /dev/null -w "$every" -o /dev/null -0 http://127.0.0.1:PORT/1.txt -o /dev/null http://127.0.0.1:PORT/ -o /dev/null http://127.0.0.1:PORT/none
  record http1/pipelined 8001 'h2load and nginx: HTTP/1.1, eight requests in flight' \
    bash -c 'h2load --h1 -n 40 -c 1 -m 8 http://127.0.0.1:PORT/1.txt http://127.0.0.1:PORT/none | sed -n "s/^status codes: \([0-9]*\) 2xx, 0 3xx, \([0-9]*\) 4xx.*/exchanges \1 GET 200\nexchanges \2 GET 404/p"'
  python=$built/recognise/venv/bin/python
  serve() { # KIND: sets port
    rm -f "$work/port"
    (cd "$work" && exec "$python" "$here/../recognise/python/servers.py" "$1" >"$work/port" 2>>"$work/log" < <(sleep 1000)) &
    until [[ -s "$work/port" ]]; do sleep 0.1; done
    port=$(cut -d' ' -f2 "$work/port")
  }
  status="r['Span'] + ' ' + r['Attributes'].get('http.response.status_code', '200')"
  serve elasticsearch
  record http1/elasticsearch "$port" 'the Elasticsearch client of Python' \
    bash -c "$python $here/../recognise/python/clients.py elasticsearch PORT 1 1 a | $python -c \"\$printed\" \"$status\""
  serve graphql
  record http1/graphql "$port" 'gql and requests of Python, and strawberry: GraphQL' \
    bash -c "$python $here/../recognise/python/clients.py graphql PORT 1 1 a | $python -c \"\$printed\" \"$status\""
  record http2/graphql "$port" 'gql with httpx of Python, and hypercorn: GraphQL over HTTP/2' \
    bash -c "$python $here/../recognise/python/clients.py graphql2 PORT 1 1 a | $python -c \"\$printed\" \"$status\""
  serve s3
  record http1/s3 "$port" 'boto3 of Python and moto: S3' "$python" "$here/clients.py" s3 PORT
fi
if wanted http2; then
  mkdir -p "$work/h2"
  printf 'hello\n%.0s' {1..100} >"$work/h2/index.html"
  background nghttpd --no-tls -a 127.0.0.1 -d "$work/h2" 8011
  listening 8011
  record http2/h2load 8011 'h2load and nghttpd: streams in flight' \
    bash -c 'h2load -n 20 -c 1 -m 4 http://127.0.0.1:PORT/index.html http://127.0.0.1:PORT/none | sed -n "s/^status codes: \([0-9]*\) 2xx, 0 3xx, \([0-9]*\) 4xx.*/exchanges \1 GET 200\nexchanges \2 GET 404/p"'
  # A connection each: curl 7.88 cannot use one again that began with prior knowledge.
  record http2/curl 8011 'curl and nghttpd: prior knowledge' \
    bash -c "for args in index.html none 'index.html -d some=form' 'index.html -I'; do curl -sS --http2-prior-knowledge -o /dev/null -w '$every' http://127.0.0.1:PORT/\$args; done"
  truth=$built/http2/truth
  (cd "$work" && exec "$truth" grpc-server >"$work/grpc" 2>>"$work/log" < <(sleep 1000)) &
  until [[ -s "$work/grpc" ]]; do sleep 0.1; done
  port=$(head -1 "$work/grpc" | cut -d' ' -f2)
  call="r['Path'][1:] + ' ' + r['Code']"
  record http2/grpc-go "$port" 'grpc-go: unary and streaming calls, four in flight, statuses' \
    bash -c "$truth grpc-client -target 127.0.0.1:PORT -name go -streams 4 -count 5 -kinds unary,coded,serverstream,clientstream,bidi | python3 -c \"\$printed\" \"$call\""
  record http2/grpc-python "$port" 'grpcio of Python and grpc-go' \
    bash -c "$built/http2/venv/bin/python $here/../http2/python/truth.py grpc-client -target 127.0.0.1:PORT -name py -streams 2 -count 5 -kinds unary,coded,bidi | python3 -c \"\$printed\" \"$call\""
fi
if wanted dns; then
  background /usr/sbin/dnsmasq --no-daemon --no-resolv --no-hosts --conf-file=/dev/null --port=8021 --listen-address=127.0.0.1 --bind-interfaces --user=root \
    --address=/dns.test/10.1.2.3 --address=/dns.test/fd00::3 --address=/none.test/ --cname=alias.test,one.dns.test --txt-record=text.test,some,text
  sleep 0.5
  # dig counts what it was answered with.
  answered='s/^;; ->>HEADER<<-.*status: \([A-Z]*\),.*/\1/p; s/^;[a-z.]*\s*IN\s*\([A-Z]*\)$/\1/p'
  dig="dig +noedns -p PORT @127.0.0.1 a.dns.test A b.dns.test AAAA none.test A text.test TXT alias.test A refused.test MX one.dns.test PTR | sed -n '$answered' | paste -d' ' - - | awk '{print \"exchanges 1 DNS\", \$2, \$1}'"
  UDP=yes record dns/dig 8021 'dig and dnsmasq: several types, names that are not there' bash -c "$dig"
  record dns/tcp 8021 'dig and dnsmasq over TCP' bash -c "${dig/+noedns/+tcp +noedns}"
  UDP=yes PROXY=53 record dns/glibc 8021 'getaddrinfo of glibc and dnsmasq: A and AAAA at once from one socket' \
    bash -c 'for i in 1 2 3; do getent ahosts $i.dns.test >/dev/null; done; getent ahosts none.test || true; printf "exchanges %d DNS %s %s\n" 3 A NOERROR 3 AAAA NOERROR 1 A NXDOMAIN 1 AAAA NXDOMAIN'
fi
if wanted redis; then
  background redis-server --port 8031 --bind 127.0.0.1 --save '' --dir "$work"
  listening 8031
  python=$built/redis/python/bin/python
  record redis/redis-py 8031 'redis-py: RESP2, pipelines, a transaction, a script, errors, waiting' "$python" "$here/clients.py" redis-py PORT
  record redis/resp3 8031 'redis-py with asyncio: RESP3, pipelines' "$python" "$here/clients.py" redis-resp3 PORT
  record redis/pubsub 8031 'redis-py: subscriptions' "$python" "$here/clients.py" redis-pubsub PORT
  record redis/benchmark 8031 'redis-benchmark: pipelines of ten on two connections' \
    bash -c 'redis-benchmark -p PORT -n 100 -c 2 -P 10 -d 20 -t set,get,incr -q >/dev/null && printf "exchanges 100 SET\nexchanges 100 GET\nexchanges 100 INCR\nexchanges 2 CONFIG GET\n"'
fi
if wanted memcached; then
  background memcached -u nobody -l 127.0.0.1 -p 8041
  listening 8041
  python=$built/memcached/python/bin/python
  record memcached/text 8041 'pymemcache: text commands, many at once, without replies' "$python" "$here/clients.py" memcached-text PORT
  record memcached/binary 8041 'python-binary-memcached' "$python" "$here/clients.py" memcached-binary PORT
fi
if wanted postgresql; then
  pg=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
  install -d -o nobody "$work/pg"
  echo secret >"$work/secret"
  as_nobody "$pg/initdb" -D "$work/pg/data" -A scram-sha-256 --pwfile="$work/secret" -U app >>"$work/log"
  background setpriv --reuid=nobody --clear-groups "$pg/postgres" -D "$work/pg/data" -p 8051 -k "$work/pg" -c listen_addresses=127.0.0.1
  listening 8051
  export PGPASSWORD=secret PGSSLMODE=disable PGGSSENCMODE=disable
  until "$pg/createdb" -h 127.0.0.1 -p 8051 -U app shop 2>>"$work/log"; do sleep 0.2; done
  python=$built/protocols-postgresql/python/bin/python
  record postgresql/psql 8051 'psql: simple queries, several in one, errors, notices, COPY' \
    bash -c 'psql -q -h 127.0.0.1 -p PORT -U app -d shop -c "CREATE TABLE t (a int)" -c "INSERT INTO t VALUES (1),(2)" -c "SELECT * FROM t" -c "SELECT * FROM none" -c "DROP TABLE IF EXISTS nothing" -c "SELECT 1; SELECT 2" -c "\copy t TO STDOUT" >/dev/null 2>&1
      printf "exchanges 1 %s\n" "CREATE TABLE t" "INSERT t" "SELECT t" "SELECT none 42P01" "DROP TABLE nothing" "SELECT SELECT" "COPY t"'
  record postgresql/psycopg 8051 'psycopg 3: prepared statements, pipelines, a pipeline that fails, COPY, transactions' "$python" "$here/clients.py" postgresql-psycopg PORT
  record postgresql/psycopg2 8051 'psycopg2: simple queries, a cursor of the server' "$python" "$here/clients.py" postgresql-psycopg2 PORT
  record postgresql/pg 8051 'pg of Node.js: the extended protocol, statements with names' env NODE_PATH="$built/protocols-postgresql/node/node_modules" node "$here/clients.js" pg PORT
  "$pg/pgbench" -h 127.0.0.1 -p 8051 -U app -i -q shop >>"$work/log" 2>&1
  for mode in prepared extended; do
    record "postgresql/pgbench-$mode" 8051 "pgbench -M $mode" bash -c "$pg/pgbench -n -h 127.0.0.1 -p PORT -U app -M $mode -t 5 shop |
      awk '/actually processed/ { sub(\"/.*\", \"\", \$6); n = \$6 } END { for (i = 1; i <= split(\"BEGIN|UPDATE pgbench_accounts|SELECT pgbench_accounts|UPDATE pgbench_tellers|UPDATE pgbench_branches|INSERT pgbench_history|END\", a, \"|\"); i++) print \"exchanges\", n, a[i] }'
      # What it asks before it begins.
      printf 'own %s\n' 'select pgbench_branches' 'select pg_catalog.pg_class pg_catalog.pg_namespace select pg_catalog.pg_partitioned_table pg_catalog.pg_inherits'"
  done
fi
if wanted mysql; then
  install -d -o nobody "$work/my"
  mariadb-install-db --no-defaults --user=nobody --datadir="$work/my/data" --auth-root-authentication-method=normal >>"$work/log" 2>&1
  background mariadbd --no-defaults --user=nobody --datadir="$work/my/data" --port=8061 --bind-address=127.0.0.1 --socket="$work/my/s" --pid-file="$work/my/p" --skip-name-resolve
  listening 8061
  mariadb --no-defaults -S "$work/my/s" -u root -e "CREATE DATABASE shop; CREATE DATABASE lab; CREATE USER app IDENTIFIED BY 'secret'; GRANT ALL ON *.* TO app"
  # -vv says which statements it has executed; the last one fails, and ends it.
  record mysql/mariadb 8061 'the mariadb command: queries and an error' \
    bash -c 'mariadb --no-defaults --skip-ssl -vv -h 127.0.0.1 -P PORT -u app -psecret shop -e "CREATE TABLE c (a int); INSERT INTO c VALUES (1),(2),(3); SELECT * FROM c; DROP TABLE c; SELECT * FROM none" 2>&1 |
      sed -n "s/^\(CREATE TABLE\|DROP TABLE\) \(\w*\).*/exchanges 1 \1 \2/p; s/^\(INSERT\|SELECT\) .*\(INTO\|FROM\) \(\w*\).*/exchanges 1 \1 \3/p" | sed "s/ none$/ none 1146/"'
  record mysql/pymysql 8061 'PyMySQL: queries, errors, commands' /usr/bin/python3 "$here/clients.py" mysql-pymysql PORT
  record mysql/compressed 8061 'mysqlclient of Python (libmariadb): the compressed protocol' /usr/bin/python3 "$here/clients.py" mysql-compressed PORT
  record mysql/mysql2 8061 'mysql2 of Node.js: prepared statements' env NODE_PATH="$built/protocols-mysql/node_modules" node "$here/clients.js" mysql2 PORT
fi
if wanted mongodb; then
  mongo=$built/protocols-mongodb
  (cd "$work" && exec java -Xmx128m -cp "$mongo/server:$mongo/server/lib/*" Server >"$work/mongo" 2>>"$work/log") &
  until [[ -s "$work/mongo" ]]; do sleep 0.1; done
  record mongodb/pymongo "$(cut -d' ' -f2 "$work/mongo")" 'PyMongo and mongo-java-server: batches, errors, a write without an answer' /usr/bin/python3 "$here/clients.py" mongodb PORT
fi
if wanted nats; then
  install -d -o nobody "$work/nats"
  background setpriv --reuid=nobody --clear-groups nats-server -a 127.0.0.1 -p 8081 -js -sd "$work/nats"
  listening 8081
  python=$built/brokers/python/bin/python
  record nats/nats-py 8081 'nats-py: messages with and without headers, requests, one that nobody answers' "$python" "$here/clients.py" nats-py PORT
  record nats/jetstream 8081 'nats-py: JetStream' "$python" "$here/clients.py" nats-jetstream PORT
fi
if wanted mqtt; then
  printf 'listener 8091 127.0.0.1\nallow_anonymous true\nmax_topic_alias 20\n' >"$work/mosquitto.conf"
  background /usr/sbin/mosquitto -c "$work/mosquitto.conf"
  listening 8091
  python=$built/brokers/python/bin/python
  record mqtt/paho-3 8091 'paho-mqtt and mosquitto: MQTT 3.1.1, all qualities of service' "$python" "$here/clients.py" mqtt-3 PORT
  record mqtt/paho-5 8091 'paho-mqtt and mosquitto: MQTT 5.0 with properties' "$python" "$here/clients.py" mqtt-5 PORT
fi
if wanted amqp; then
  install -d -o nobody "$work/rabbit"
  node=(HOME="$work/rabbit" RABBITMQ_NODENAME=corpus@localhost RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_NODE_PORT=8101
    RABBITMQ_DIST_PORT=8102 ERL_EPMD_PORT=8103 RABBITMQ_MNESIA_BASE="$work/rabbit/mnesia" RABBITMQ_LOG_BASE="$work/rabbit/log"
    RABBITMQ_PID_FILE="$work/rabbit/pid" RABBITMQ_ENABLED_PLUGINS_FILE="$work/rabbit/plugins" RABBITMQ_CONFIG_FILE="$work/rabbit/none")
  background setpriv --reuid=nobody --regid=nogroup --clear-groups epmd -address 127.0.0.1 -port 8103
  background setpriv --reuid=nobody --regid=nogroup --clear-groups env -C "$work/rabbit" "${node[@]}" /usr/lib/rabbitmq/bin/rabbitmq-server
  listening 8101
  python=$built/brokers/python/bin/python
  record amqp/pika 8101 'pika and RabbitMQ: confirms, acknowledgements, what is returned, refused and not there' "$python" "$here/clients.py" amqp-pika PORT
fi
if wanted fastcgi; then
  mkdir -p "$work/php"
  printf '[global]\nerror_log = %s/php/log\ndaemonize = no\n[one]\nuser = nobody\nlisten = 127.0.0.1:8111\npm = static\npm.max_children = 1\n' "$work" >"$work/php/conf"
  printf '<?php if (isset($_GET["status"])) http_response_code((int) $_GET["status"]); if (isset($_GET["log"])) error_log("a message"); echo str_repeat("a line\\n", (int) ($_GET["lines"] ?? 10));' >"$work/php/index.php"
  background /usr/sbin/php-fpm8.2 -F -R -y "$work/php/conf"
  listening 8111
  for keep in on off; do
    record "fastcgi/nginx-$keep" 8111 "nginx and PHP-FPM, fastcgi_keep_conn $keep" bash -c "
      cat >$work/php/nginx.conf <<NGINX
pid $work/php/pid; user root; worker_processes 1; error_log $work/log;
events {}
http {
  access_log off; client_body_temp_path $work/php/body; proxy_temp_path $work/php/proxy; fastcgi_temp_path $work/php/fastcgi;
  uwsgi_temp_path $work/php/uwsgi; scgi_temp_path $work/php/scgi;
  upstream php { server 127.0.0.1:PORT; keepalive 1; }
  server { listen 127.0.0.1:8112; location / {
    include /etc/nginx/fastcgi_params; fastcgi_param SCRIPT_FILENAME $work/php/index.php; fastcgi_pass php; fastcgi_keep_conn $keep;
  } }
}
NGINX
      nginx -e $work/log -c $work/php/nginx.conf
      for path in one two?status=404 three?status=500 four?log=1 'five?lines=1000'; do curl -sS -o /dev/null -w '$every' http://127.0.0.1:8112/\$path; done
      curl -sS -o /dev/null -w '$every' -d some=form http://127.0.0.1:8112/six
      curl -sS -I -o /dev/null -w '$every' http://127.0.0.1:8112/seven
      nginx -e $work/log -c $work/php/nginx.conf -s stop"
  done
fi
if wanted cassandra; then
  mkdir "$work/cassandra"
  cat >"$work/cassandra/cassandra.yaml" <<YAML
cluster_name: corpus
num_tokens: 1
hints_directory: $work/cassandra/hints
data_file_directories: [$work/cassandra/data]
commitlog_directory: $work/cassandra/commitlog
cdc_raw_directory: $work/cassandra/cdc
saved_caches_directory: $work/cassandra/caches
commitlog_sync: periodic
commitlog_sync_period: 10000ms
commitlog_segment_size: 4MiB
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
listen_address: 127.0.0.1
rpc_address: 127.0.0.1
storage_port: 8121
native_transport_port: 8122
start_native_transport: true
memtable_allocation_type: heap_buffers
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{seeds: "127.0.0.1:8121"}]
YAML
  opens=()
  while read -r name; do opens+=(--add-opens "$name=ALL-UNNAMED"); done < <(sed -n '/^var opened/,/^}/p' ../cassandra/server_test.go | grep -o '"[a-z.]*/[a-z.]*"' | tr -d '"')
  background java -Xms192m -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "${opens[@]}" -Dcassandra.config="file://$work/cassandra/cassandra.yaml" \
    -Dcassandra.storagedir="$work/cassandra" -Dcassandra-foreground=yes -Dcassandra.skip_wait_for_gossip_to_settle=0 -Dcassandra.ring_delay_ms=0 \
    -Dcassandra.unsafesystem=true -Djava.io.tmpdir="$work/cassandra" -Djna.tmpdir="$work/cassandra" -cp "$built/protocols-cassandra/jars/*" org.apache.cassandra.service.CassandraDaemon
  listening 8122
  python=$built/protocols-cassandra/python/bin/python
  # The driver's second connection goes where the server says it is: to the proxy's port.
  for version in 4 lz4 5; do
    record "cassandra/driver-$version" 8122 "the Python driver of Cassandra, ${version/lz4/4 with LZ4}: prepared statements, a batch, pages, an error" "$python" "$here/clients.py" "cassandra-$version" PORT
  done
fi
if wanted kafka; then
  kafka=$built/kafka
  # Clients go where the broker says it is: to the proxy.
  printf '%s\n' process.roles=broker,controller node.id=1 controller.quorum.bootstrap.servers=127.0.0.1:8132 \
    listeners=PLAINTEXT://127.0.0.1:8131,CONTROLLER://127.0.0.1:8132 advertised.listeners=PLAINTEXT://127.0.0.1:8133 \
    controller.listener.names=CONTROLLER inter.broker.listener.name=PLAINTEXT listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT \
    "log.dirs=$work/kafka" offsets.topic.replication.factor=1 offsets.topic.num.partitions=1 num.partitions=3 group.initial.rebalance.delay.ms=0 >"$work/kafka.properties"
  java -cp "$kafka/jars/*" kafka.tools.StorageTool format --standalone -t XtW9IsdUR8GV7xyucLueLA -c "$work/kafka.properties" >>"$work/log" 2>&1
  background java -Xmx384m -XX:TieredStopAtLevel=1 -cp "$kafka/jars/*" kafka.Kafka "$work/kafka.properties"
  listening 8131
  for library in python confluent; do
    PROXY=8133 record "kafka/$library" 8131 "${library/python/kafka-python}: produces and consumes in a group" "$kafka/python/bin/python3" "$here/clients.py" "kafka-$library" PORT
  done
fi
exit "$failed"
