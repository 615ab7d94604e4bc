// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestProgramName(t *testing.T) {
	const (
		python = "/usr/bin/python3.11"
		node   = "/usr/bin/node"
		java   = "/usr/lib/jvm/java-17-openjdk-amd64/bin/java"
		ruby   = "/usr/bin/ruby3.1"
		php    = "/usr/bin/php8.2"
	)
	for _, test := range []struct {
		exe, command, cwd, want string
	}{
		{"/usr/sbin/nginx", "nginx: master process /usr/sbin/nginx", "", "nginx"},
		{"/usr/sbin/nginx (deleted)", "nginx", "", "nginx"},
		{"/usr/lib/postgresql/15/bin/postgres", "postgres: walwriter", "", "postgres"},
		{"/memfd:runner", "runner", "", "runner"},
		{"/lib64/ld-linux-x86-64.so.2", "/lib64/ld-linux-x86-64.so.2 --library-path /l /opt/game -x", "", "game"},
		{"/usr/sbin/php-fpm8.2", "php-fpm: pool www", "", "php-fpm8.2"},
		{"/bin/busybox", "httpd -f", "", "httpd"},
		{"/bin/busybox", "busybox nc -l", "", "nc"},
		{"/bin/busybox", "sh", "", "sh"},
		{"", "[kworker]", "", "[kworker]"},
		{"", "", "", "comm"},
		{"", "python3 app.py", "", "app"},
		{"", "/opt/secret/daemon --x", "", "daemon"},

		{python, "python app.py", "", "app"},
		{python, "python3 -u -W ignore -X dev /srv/cart.py --port 1", "", "cart"},
		{python, "python -m http.server 8000", "", "http.server"},
		{python, "python -um http.server", "", "http.server"},
		{python, "python -mhttp.server", "", "http.server"},
		{python, "python -m shop.__main__", "", "shop"},
		{python, "python -c import\x1fos", "/x", "python"},
		{python, "python", "/x", "python"},
		{python, "python manage.py runserver", "/srv/shop", "shop"},
		{python, "python manage.py runserver", "/app", "manage"},
		{python, "python /srv/shop/src/main.py", "", "shop"},
		{python, "python main.py", "/home/alice", "main"},
		{python, "/venv/bin/python /venv/bin/gunicorn -b 0.0.0.0:8000 shop.wsgi:application", "", "shop"},
		{python, "/venv/bin/python /venv/bin/gunicorn -w 4 shop.wsgi", "", "shop"},
		{python, "/venv/bin/python /venv/bin/gunicorn --bind localhost:8000 app:create_app()", "", "app"},
		{python, "gunicorn:\x1fmaster\x1f[shop.wsgi:application]", "", "shop"},
		{python, "gunicorn:\x1fworker\x1f[cart]", "", "cart"},
		{python, "python -m uvicorn main:app --host 0.0.0.0", "/srv/cart", "cart"},
		{python, "python -m uvicorn main:app --host 0.0.0.0", "/app", "main"},
		{python, "python /usr/local/bin/uvicorn cart.api.main:app", "", "cart"},
		{python, "python /usr/bin/flask --app hello run", "", "hello"},
		{python, "python /usr/bin/flask run", "/srv/pets", "pets"},
		{python, "python /usr/bin/celery -A proj.celery worker", "", "proj"},
		{python, "python /usr/bin/streamlit run dash.py", "", "dash"},
		{python, "python /usr/bin/supervisord -n", "", "supervisord"},
		{python, "celeryd:\x1ffoo@bar:MainProcess", "", "celeryd"},

		{node, "node server.js", "/app", "server"},
		{node, "node server.js", "/srv/checkout", "checkout"},
		{node, "node --max-old-space-size=100 -r dotenv/config /srv/checkout/dist/index.js", "", "checkout"},
		{node, "node dist/main", "/srv/pets", "pets"},
		{node, "node .", "/srv/pets", "pets"},
		{node, "node worker.mjs", "/srv/pets", "worker"},
		{node, "node -e 1", "/srv/pets", "node"},
		{node, "node", "/srv/pets", "node"},
		{node, "node /srv/shop/node_modules/.bin/next start", "", "shop"},
		{node, "node /app/node_modules/.bin/next start", "", "next"},
		{node, "node /usr/lib/node_modules/npm/bin/npm-cli.js start", "", "npm-cli"},
		{node, "npm\x1frun\x1fstart", "", "npm"},
		{node, "node\x1f/srv/pets/api.js", "", "api"},
		{"/usr/bin/deno", "deno run --allow-net hello.ts", "/x", "hello"},
		{"/usr/bin/bun", "bun run start.ts", "/srv/pets", "pets"},

		{java, "java -jar foo-1.2.jar", "", "foo"},
		{java, "java -Xmx1g -jar /opt/foo-bar-1.2.3-SNAPSHOT.jar --x", "", "foo-bar"},
		{java, "java -jar -Dx=y log4j2.jar", "", "log4j2"},
		{java, "java -jar app.jar", "/srv/billing", "billing"},
		{java, "java -jar /app.jar", "/", "app"},
		{java, "java com.x.Main", "", "Main"},
		{java, "java -cp a:b --add-opens java.base/x=ALL @args com.x.Orders$Server 1", "", "Orders$Server"},
		{java, "java -m shop/com.x.Cart", "", "Cart"},
		{java, "java Hello.java", "", "Hello"},
		{java, "java -Dspring.application.name=bills -jar app.jar", "/srv/billing", "bills"},
		{java, "java -cp x org.apache.catalina.startup.Bootstrap start", "", "tomcat"},
		{java, "java kafka.Kafka server.properties", "", "kafka"},
		{java, "java -version", "", "java"},

		{ruby, "ruby -W0 -I lib app.rb", "/x", "x"},
		{ruby, "ruby worker.rb", "/x", "worker"},
		{ruby, "ruby bin/rails server", "/srv/blog", "blog"},
		{ruby, "puma\x1f6.4.0\x1f(tcp://0.0.0.0:3000)\x1f[blog]", "", "blog"},
		{ruby, "puma:\x1fcluster\x1fworker\x1f0:\x1f17\x1f[blog]", "", "blog"},
		{ruby, "sidekiq\x1f7.1\x1fshop\x1f[0\x1fof\x1f5\x1fbusy]", "", "sidekiq"},
		{php, "php artisan serve", "/srv/blog", "blog"},
		{php, "php -S 0.0.0.0:80 -t public", "/srv/blog", "blog"},
		{php, "php -d a=b worker.php", "", "worker"},
		{"/usr/bin/perl", "perl -w -I lib daemon.pl", "", "daemon"},
		{"/usr/bin/perl", "perl -we 1", "", "perl"},
		{"/bin/bash", "/bin/bash /usr/local/bin/loop.sh", "", "loop"},
		{"/bin/bash", "bash -o pipefail -c x", "", "bash"},
		{"/bin/bash", "-bash", "", "bash"},
		{"/bin/bash", "bash /dev/fd/63", "", "bash"},
		{"/bin/dash", "sh -e run.sh", "", "run"},
		{"/usr/bin/dotnet", "dotnet Shop.Api.dll", "", "Shop.Api"},
		{"/usr/bin/dotnet", "dotnet exec --runtimeconfig r.json Shop.dll", "", "Shop"},
		{"/usr/lib/erlang/erts/bin/beam.smp", "beam.smp -- -root /x -sname rabbit@host", "", "rabbit"},
		{"/usr/bin/mono", "mono Game.exe", "", "Game"},
	} {
		t.Run(test.exe+" "+test.command+" in "+test.cwd, func(t *testing.T) {
			var args []string
			for _, arg := range strings.Fields(test.command) {
				args = append(args, strings.ReplaceAll(arg, "\x1f", " "))
			}
			p := program{exe: test.exe, comm: "comm", args: args, cwd: func() string { return test.cwd }}
			name, _ := p.name()
			assert.Equal(t, test.want, name)
		})
	}
}

func TestProgramNameFromEnvironment(t *testing.T) {
	env := func() []string { return []string{"FLASK_APP=pets.wsgi:app", "RELEASE_NAME=chat"} }
	p := program{exe: "/usr/bin/python3", args: []string{"python3", "/usr/bin/flask", "run"}, env: env}
	name, _ := p.name()
	assert.Equal(t, "pets", name)
	p = program{exe: "/erts/beam.smp", args: []string{"beam.smp", "--"}, env: env}
	name, _ = p.name()
	assert.Equal(t, "chat", name)
}

// Arguments are whatever a process likes.
func FuzzProgramName(f *testing.F) {
	f.Add("/usr/bin/python3", "python3\x00-m\x00")
	f.Add("/usr/bin/java", "java\x00-jar")
	f.Add("/usr/bin/java", "java\x00-m")
	f.Add("/usr/bin/node", "node\x00-r")
	f.Add("/usr/bin/dotnet", "dotnet\x00exec")
	f.Add("/bin/busybox", "")
	f.Add("/lib/ld-linux.so", "x\x00--library-path\x00y")
	f.Add("/usr/bin/php", "php\x00-f")
	f.Add("/usr/bin/bun", "bun\x00run")
	f.Add("/usr/bin/python3", "gunicorn: x [::]")
	f.Fuzz(func(t *testing.T, exe, args string) {
		p := program{exe: exe, comm: "c", args: strings.Split(args, "\x00"), cwd: func() string { return "/a" }}
		p.name()
		p.wrapper()
		p.ambiguous()
	})
}
