#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# record.sh makes testdata anew: what real clients and servers say to each other. It needs
# what testbed/install.sh installs, and root. With names as arguments it makes only those.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
chmod 755 "$work"
go build -o "$work/replay" ./replay
started=()
cleanup() {
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
only=" $* "

wanted() { [[ "$only" == "  " || "$only" == *" $1 "* ]]; }
background() { "$@" >"$work/log" 2>&1 & started+=($!); }
listening() { # PORT
  for _ in {1..300}; do
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
    sleep 0.1
  done
  echo "nobody listens on $1" >&2
  cat "$work/log" >&2
  exit 1
}
proxy=20900
# through NAME TARGET-PORT COMMAND...: runs the command, in which PORT stands for the proxy's.
through() {
  local name=$1 target=$2 pid
  shift 2
  proxy=$((proxy + 1))
  "$work/replay" record "testdata/$name" "127.0.0.1:$proxy" "127.0.0.1:$target" >"$work/proxy" &
  pid=$!
  until [[ -s "$work/proxy" ]]; do kill -0 "$pid"; sleep 0.05; done
  timeout 20 "${@//PORT/$proxy}" >"$work/client" 2>&1 || { cat "$work/client"; echo "$name: the client failed" >&2; }
  sleep 0.3
  kill "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
  rm -f "$work/proxy"
  echo "$name: $(wc -l <"testdata/$name") pieces"
}

if wanted http; then
  background python3 -m http.server 20801 --bind 127.0.0.1 --protocol HTTP/1.1 --directory .
  listening 20801
  through http.tcp 20801 curl -s -o /dev/null http://127.0.0.1:PORT/doc.go -o /dev/null http://127.0.0.1:PORT/none
fi
if wanted dns; then
  background /usr/sbin/dnsmasq --no-daemon --no-resolv --no-hosts --conf-file=/dev/null --port=20802 --listen-address=127.0.0.1 --bind-interfaces --user=root --address=/dns.test/10.1.2.3
  listening 20802
  through dns.udp 20802 dig -p PORT @127.0.0.1 one.dns.test
  through dns.tcp 20802 dig +tcp -p PORT @127.0.0.1 two.dns.test
fi
if wanted redis; then
  background redis-server --port 20803 --bind 127.0.0.1 --save '' --dir "$work"
  listening 20803
  through redis.tcp 20803 bash -c 'printf "SET k v\nGET k\nLPUSH l a b c\nLRANGE l 0 -1\nGET l\nINCR n\n" | redis-cli -p PORT'
  through redis-pipeline.tcp 20803 bash -c 'for i in {1..20}; do printf "SET k$i v\r\nGET k$i\r\n"; done | redis-cli -p PORT --pipe'
fi
if wanted memcached; then
  background memcached -u nobody -l 127.0.0.1 -p 20804
  listening 20804
  through memcached.tcp 20804 bash -c 'exec 3<>/dev/tcp/127.0.0.1/PORT; printf "set a 0 0 5\r\nhello\r\n" >&3; read -r -u 3; printf "get a\r\n" >&3; for _ in 1 2 3; do read -r -u 3; done; printf "incr b 1\r\n" >&3; read -r -u 3'
fi
if wanted postgresql; then
  pg=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
  install -d -o nobody "$work/pg"
  setpriv --reuid=nobody --clear-groups "$pg/initdb" -D "$work/pg/data" -A trust -U postgres >"$work/log"
  background setpriv --reuid=nobody --clear-groups "$pg/postgres" -D "$work/pg/data" -p 20805 -k "$work/pg" -c listen_addresses=127.0.0.1
  listening 20805
  sleep 1
  through postgresql.tcp 20805 psql -h 127.0.0.1 -p PORT -U postgres -d postgres -c 'CREATE TABLE t (a int)' -c 'INSERT INTO t VALUES (1),(2)' -c 'SELECT * FROM t' -c 'SELECT * FROM none'
  "$pg/pgbench" -h 127.0.0.1 -p 20805 -U postgres -i -q postgres >"$work/log" 2>&1
  through postgresql-prepared.tcp 20805 "$pg/pgbench" -n -h 127.0.0.1 -p PORT -U postgres -M prepared -t 3 postgres
fi
if wanted mysql; then
  install -d -o nobody "$work/my"
  mariadb-install-db --no-defaults --user=nobody --datadir="$work/my/data" --auth-root-authentication-method=normal >"$work/log" 2>&1
  background mariadbd --no-defaults --user=nobody --datadir="$work/my/data" --port=20806 --bind-address=127.0.0.1 --socket="$work/my/s" --pid-file="$work/my/p"
  listening 20806
  sleep 1
  through mysql.tcp 20806 mariadb --no-defaults --skip-ssl -h 127.0.0.1 -P PORT -u root -e 'SELECT 1; CREATE DATABASE d; USE d; CREATE TABLE t (a int); INSERT INTO t VALUES (1); SELECT * FROM t; SELECT * FROM none'
fi
if wanted mongodb; then
  ../mongodb/build.sh
  mongo=$(cd ../.. && pwd)/_build/protocols-mongodb
  java -cp "$mongo/server:$mongo/server/lib/*" Server >"$work/mongo" 2>"$work/log" & started+=($!)
  until [[ -s "$work/mongo" ]]; do sleep 0.1; done
  through mongodb.tcp "$(cut -d' ' -f2 "$work/mongo")" /usr/bin/python3 - PORT <<'PY'
import sys
import pymongo
import pymongo.errors
client = pymongo.MongoClient("127.0.0.1", int(sys.argv[1]), directConnection=True, retryWrites=False)
items = client.shop.items
items.insert_many([{"_id": i, "v": "a text"} for i in range(30)])
len(list(items.find({"v": "a text"}).batch_size(20)))
items.update_one({"_id": 1}, {"$set": {"v": "another"}})
for refused in (lambda: items.insert_one({"_id": 1}), lambda: client.shop.command("nix")):
    try:
        refused()
    except pymongo.errors.PyMongoError:
        pass
client.close()
PY
fi
if wanted nats; then
  background nats-server -a 127.0.0.1 -p 20807
  listening 20807
  through nats.tcp 20807 bash -c 'exec 3<>/dev/tcp/127.0.0.1/PORT; read -r -u 3; printf "CONNECT {\"verbose\":false}\r\nPING\r\n" >&3; read -r -u 3; printf "SUB orders 1\r\nPUB orders 5\r\nhello\r\nPING\r\n" >&3; for _ in 1 2 3; do read -r -u 3; done'
fi
if wanted mqtt; then
  printf 'listener 20808 127.0.0.1\nallow_anonymous true\n' >"$work/mosquitto.conf"
  background mosquitto -c "$work/mosquitto.conf"
  listening 20808
  through mqtt.tcp 20808 python3 - PORT <<'PY'
import socket, sys, time
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def exchange(b, n):
    s.sendall(bytes(b))
    got = b""
    while len(got) < n:
        got += s.recv(n - len(got))
exchange([0x10, 16, 0, 4, *b"MQTT", 4, 2, 0, 60, 0, 4, *b"conf"], 4)
exchange([0x82, 8, 0, 1, 0, 3, *b"a/b", 1], 5)
s.sendall(bytes([0x32, 12, 0, 3, *b"a/b", 0, 2, *b"hello"]))
time.sleep(0.3)
s.recv(100)
exchange([0xC0, 0], 2)
s.sendall(bytes([0xE0, 0]))
PY
fi
if wanted cassandra; then
  (cd ../cassandra && go test -count=1 -run TestGroundTruth -record "$OLDPWD/testdata/cassandra.tcp" .)
fi
if wanted amqp; then
  ../brokers/build.sh
  install -d -o nobody "$work/rabbit"
  node=(HOME="$work/rabbit" RABBITMQ_NODENAME=confusion@localhost RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_NODE_PORT=20811
    RABBITMQ_DIST_PORT=20812 ERL_EPMD_PORT=20813 RABBITMQ_MNESIA_BASE="$work/rabbit/mnesia" RABBITMQ_LOG_BASE="$work/rabbit/log"
    RABBITMQ_PID_FILE="$work/rabbit/pid" RABBITMQ_ENABLED_PLUGINS_FILE="$work/rabbit/plugins" RABBITMQ_CONFIG_FILE="$work/rabbit/none")
  background setpriv --reuid=nobody --regid=nogroup --clear-groups epmd -address 127.0.0.1 -port 20813
  background setpriv --reuid=nobody --regid=nogroup --clear-groups env -C "$work/rabbit" "${node[@]}" /usr/lib/rabbitmq/bin/rabbitmq-server
  listening 20811
  started+=("$(cat "$work/rabbit/pid")")
  through amqp.tcp 20811 "$(cd ../.. && pwd)/_build/brokers/python/bin/python" - PORT <<'PY'
import sys
import pika
import pika.exceptions
connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", int(sys.argv[1])))
channel = connection.channel()
channel.queue_declare("orders", auto_delete=True)
channel.confirm_delivery()
for i in range(5):
    channel.basic_publish("", "orders", b"message %d" % i)
for method, _, _ in channel.consume("orders", inactivity_timeout=5):
    channel.basic_ack(method.delivery_tag)
    if method.delivery_tag == 5:
        break
channel.cancel()
try:
    channel.queue_declare("none", passive=True)
except pika.exceptions.ChannelClosedByBroker:
    pass
connection.close()
PY
fi
if wanted kafka; then
  ../kafka/build.sh
  kafka=$(cd ../.. && pwd)/_build/kafka
  # Clients go where the broker says it is: to the proxy.
  printf '%s\n' process.roles=broker,controller node.id=1 controller.quorum.bootstrap.servers=127.0.0.1:20815 \
    listeners=PLAINTEXT://127.0.0.1:20814,CONTROLLER://127.0.0.1:20815 "advertised.listeners=PLAINTEXT://127.0.0.1:$((proxy + 1))" \
    controller.listener.names=CONTROLLER inter.broker.listener.name=PLAINTEXT listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT \
    "log.dirs=$work/kafka" offsets.topic.replication.factor=1 offsets.topic.num.partitions=1 >"$work/kafka.properties"
  java -cp "$kafka/jars/*" kafka.tools.StorageTool format --standalone -t XtW9IsdUR8GV7xyucLueLA -c "$work/kafka.properties" >"$work/log" 2>&1
  background java -Xmx384m -XX:TieredStopAtLevel=1 -cp "$kafka/jars/*" kafka.Kafka "$work/kafka.properties"
  listening 20814
  through kafka.tcp 20814 "$kafka/python/bin/python3" ../kafka/client.py python produce 127.0.0.1:PORT orders 100 confusion
fi
if wanted fastcgi; then
  mkdir "$work/php"
  printf '[global]\nerror_log = %s/php/log\ndaemonize = no\n[one]\nuser = nobody\nlisten = 127.0.0.1:20816\npm = static\npm.max_children = 1\n' "$work" >"$work/php/conf"
  printf '<?php if (isset($_GET["status"])) http_response_code((int) $_GET["status"]); echo str_repeat("a line\\n", 100);' >"$work/php/index.php"
  background /usr/sbin/php-fpm8.2 -F -R -y "$work/php/conf"
  listening 20816
  cat >"$work/php/nginx" <<NGINX
pid $work/php/pid; user root; worker_processes 1;
events {}
http {
  access_log off; client_body_temp_path $work/php/body; proxy_temp_path $work/php/proxy; fastcgi_temp_path $work/php/fastcgi;
  uwsgi_temp_path $work/php/uwsgi; scgi_temp_path $work/php/scgi;
  upstream php { server 127.0.0.1:UPSTREAM; keepalive 1; }
  server { listen 127.0.0.1:20817; location / {
    include /etc/nginx/fastcgi_params; fastcgi_param SCRIPT_FILENAME $work/php/index.php; fastcgi_pass php; fastcgi_keep_conn on;
  } }
}
NGINX
  through fastcgi.tcp 20816 bash -c "sed s/UPSTREAM/PORT/ $work/php/nginx >$work/php/nginx.conf
    nginx -e $work/php/error -c $work/php/nginx.conf
    for path in one two?status=404 three?status=500; do curl -s -o /dev/null http://127.0.0.1:20817/\$path; done
    curl -s -o /dev/null -d some=form http://127.0.0.1:20817/four
    nginx -e $work/php/error -c $work/php/nginx.conf -s stop"
fi
if wanted tls; then
  openssl req -x509 -newkey rsa:2048 -nodes -keyout "$work/key" -out "$work/cert" -days 30 -subj /CN=x 2>/dev/null
  background openssl s_server -accept 20809 -key "$work/key" -cert "$work/cert" -www
  listening 20809
  through noise-tls.tcp 20809 bash -c 'printf "GET / HTTP/1.0\r\n\r\n" | openssl s_client -connect 127.0.0.1:PORT -quiet -ign_eof'
fi
if wanted ssh; then
  ssh-keygen -q -t ed25519 -N '' -f "$work/host"
  mkdir -p /run/sshd
  background /usr/sbin/sshd -D -e -f /dev/null -h "$work/host" -p 20810 -o ListenAddress=127.0.0.1 -o PidFile=none
  listening 20810
  through noise-ssh.tcp 20810 bash -c 'ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -p PORT nobody@127.0.0.1 true || true'
fi
if wanted http2; then
  mkdir -p "$work/h2"
  printf 'hello\n%.0s' {1..100} >"$work/h2/index.html"
  background nghttpd --no-tls -a 127.0.0.1 -d "$work/h2" 20811
  listening 20811
  through http2.tcp 20811 h2load -n 20 -c 1 -m 4 http://127.0.0.1:PORT/index.html http://127.0.0.1:PORT/none
fi
if wanted grpc; then
  ../http2/install.sh
  truth=$(cd ../.. && pwd)/_build/http2/truth
  mkfifo "$work/grpc-input"
  "$truth" grpc-server <"$work/grpc-input" >"$work/grpc" 2>"$work/log" & started+=($!)
  exec 9>"$work/grpc-input"
  until [[ -s "$work/grpc" ]]; do sleep 0.1; done
  through grpc.tcp "$(head -1 "$work/grpc" | cut -d' ' -f2)" "$truth" grpc-client -target 127.0.0.1:PORT -name recorded -streams 4 -count 4 -kinds unary,coded,serverstream,bidi
  exec 9>&-
fi
