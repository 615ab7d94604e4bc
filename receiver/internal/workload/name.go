// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// program is what a process runs, for finding a name that its people would
// use for it.
type program struct {
	exe, comm string
	args      []string
	cwd       func() string
	env       func() []string
}

// called is the name a program was started by, where both the kernel and its first argument
// say so: that of a symbolic link, perhaps (Debian's redis-server leads to
// redis-check-rdb). Empty otherwise.
func (p program) called() string {
	const longest = 15 // of a comm, in bytes
	if len(p.args) == 0 {
		return ""
	}
	first, _, _ := strings.Cut(p.args[0], " ")
	name := path.Base(first)
	if p.comm == "" || name[:min(len(name), longest)] != p.comm {
		return ""
	}
	return name
}

// name is the name of the program. certain is false if it only is that of an
// interpreter, because what that runs is not known.
func (p program) name() (name string, certain bool) {
	p = p.unloaded()
	if p.exe == "" {
		// A kernel thread, or one whose exe we may not read; arguments are
		// anyone's to read.
		if len(p.args) == 0 || p.args[0] == "" {
			return p.comm, p.comm != ""
		}
		p.exe = title(p.args[0])
	}
	base := executableName(p.exe)
	if multicall[base] {
		if len(p.args) > 0 {
			applet := strings.TrimPrefix(path.Base(p.args[0]), "-")
			if applet == base && len(p.args) > 1 {
				applet = path.Base(p.args[1])
			}
			if !multicall[applet] && !shells[applet] {
				return applet, true
			}
			return applet, false
		}
		return base, false
	}
	language := interpreter(base)
	if language == "" {
		if called := p.called(); called != "" {
			return called, true
		}
		return base, true
	}
	args := p.args
	if len(args) == 1 {
		// The process may have written a title over its arguments.
		first, _, spaced := strings.Cut(args[0], " ")
		switch {
		case interpreter(executableName(first)) == language:
			args = strings.Fields(args[0]) // pm2 writes "node /app/server.js"
		case spaced || strings.Contains(args[0], ":"):
			if name := p.fromTitle(args[0]); name != "" {
				return name, true
			}
		}
	}
	if len(args) > 1 {
		if name := languages[language](p, args[1:]); name != "" {
			return name, true
		}
	}
	if language == "erlang" {
		return "beam", false
	}
	return language, false
}

// unloaded takes away a dynamic loader that was called by name.
func (p program) unloaded() program {
	base := path.Base(p.exe)
	if len(p.args) < 2 || !strings.HasPrefix(base, "ld-linux") && !strings.HasPrefix(base, "ld-musl") {
		return p
	}
	rest := p.args[1:]
	for len(rest) > 1 && strings.HasPrefix(rest[0], "-") {
		rest = rest[1:]
		if p.args[len(p.args)-len(rest)-1] == "--library-path" && len(rest) > 1 {
			rest = rest[1:]
		}
	}
	p.exe, p.args = rest[0], rest
	return p
}

// executableName is the base name; a memfd's is what its maker called it.
func executableName(exe string) string {
	return strings.TrimPrefix(path.Base(strings.TrimSuffix(exe, " (deleted)")), "memfd:")
}

// ambiguous: the executable alone does not tell the program.
func (p program) ambiguous() bool {
	base := executableName(p.unloaded().exe)
	return multicall[base] || interpreter(base) != ""
}

// spawnedWorker: Python's multiprocessing starts workers (uvicorn's, for one)
// as new interpreters.
func (p program) spawnedWorker() bool {
	return slices.ContainsFunc(p.args, func(arg string) bool {
		return strings.HasPrefix(arg, "from multiprocessing.")
	})
}

// wrapper: it only is there to start the program proper.
func (p program) wrapper() bool {
	base := executableName(p.exe)
	if shells[interpreter(base)] || multicall[base] && len(p.args) > 0 && shells[strings.TrimPrefix(path.Base(p.args[0]), "-")] {
		return true
	}
	if interpreter(base) != "" {
		name, certain := p.name()
		return certain && wrappers[name]
	}
	return wrappers[base]
}

var wrappers = set("tini", "tini-static", "dumb-init", "docker-init", "catatonit", "init", "s6-svscan", "s6-supervise",
	"s6-linux-init-shutdownd", "runsvdir", "runsv", "runit", "pid1", "my_init", "podman-init",
	"sudo", "su", "gosu", "su-exec", "timeout", "env", "nice", "ionice", "setpriv", "unshare", "stdbuf", "strace",
	"npm", "npm-cli", "npx", "npx-cli", "yarn", "pnpm", "nodemon", "uv", "poetry", "pipenv", "go", "cargo", "air", "watchmedo")

// multicall binaries take their program's name from argv[0].
var multicall = set("busybox", "toybox", "coreutils", "busybox.static")

var shells = set("sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "rbash")

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, name := range names {
		m[name] = true
	}
	return m
}

// versionSuffix as in python3.11, ruby3.1, php8.2, perl5.36.0.
var versionSuffix = regexp.MustCompile(`-?[0-9][0-9.]*$`)

// interpreter is the language an executable runs, or "".
func interpreter(base string) string {
	base = versionSuffix.ReplaceAllString(base, "")
	switch base {
	case "python", "pypy", "python-dbg":
		return "python"
	case "node", "nodejs", "iojs":
		return "node"
	case "jruby", "truffleruby":
		return "ruby"
	case "beam.smp", "beam":
		return "erlang"
	case "mono", "mono-sgen":
		return "mono"
	case "luajit":
		return "lua"
	case "ruby", "php", "perl", "java", "bun", "deno", "dotnet", "lua", "tclsh", "julia":
		return base
	}
	if shells[base] {
		return base
	}
	return ""
}

func isJVM(exe string) bool { return path.Base(exe) == "java" }

var languages map[string]func(program, []string) string

func init() { // not a literal: the functions use the map's users
	languages = map[string]func(program, []string) string{
		"python": program.python, "node": program.node, "bun": program.runner, "deno": program.runner,
		"ruby": program.ruby, "php": program.php, "perl": program.perl, "java": program.java,
		"dotnet": program.dotnet, "mono": program.plain, "lua": program.plain, "tclsh": program.plain,
		"julia": program.plain, "erlang": program.erlang,
	}
	for shell := range shells {
		languages[shell] = program.shell
	}
}

// fromTitle reads what servers write over their arguments:
//
//	gunicorn: master [shop.wsgi:application]
//	puma 6.4.0 (tcp://0.0.0.0:3000) [shop]
//	puma: cluster worker 0: 17 [shop]
//	sidekiq 7.1 shop [0 of 5 busy]
func (p program) fromTitle(s string) string {
	first := title(s)
	if open, end := strings.LastIndexByte(s, '['), strings.LastIndexByte(s, ']'); open >= 0 && open < end {
		inside := s[open+1 : end]
		switch first {
		case "gunicorn":
			return p.fromApplication(inside)
		case "puma":
			if inside != "" && !strings.ContainsAny(inside, " /") {
				return inside
			}
		}
	}
	return first
}

// title is the first word of a process title, or the base name of a path.
func title(s string) string {
	s = strings.TrimPrefix(s, "-")
	if i := strings.IndexAny(s, " \t"); i > 0 {
		s = s[:i]
	}
	return path.Base(strings.TrimRight(s, ":"))
}

// positional is the index of the first argument that is no option of an
// interpreter, at most len(args). takesValue lists the options whose value is
// the next argument.
func positional(args []string, takesValue map[string]bool) (index int) {
	for index < len(args) {
		arg := args[index]
		switch {
		case arg == "--":
			return index + 1
		case takesValue[arg]:
			index += 2
		case len(arg) < 2 || arg[0] != '-':
			return index
		default:
			index++
		}
	}
	return len(args)
}

func at(args []string, i int) string {
	if i < 0 || i >= len(args) {
		return ""
	}
	return args[i]
}

// plain names the first argument that is no option.
func (p program) plain(args []string) string {
	return scriptName(at(args, positional(args, nil)))
}

func (p program) python(args []string) string {
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			return p.pythonScript(args[i+1:])
		}
		if len(arg) < 2 || arg[0] != '-' {
			return p.pythonScript(args[i:])
		}
		if strings.HasPrefix(arg, "--") {
			if arg == "--check-hash-based-pycs" {
				i++
			}
			continue
		}
	cluster: // of short options; python -um http.server
		for j := 1; j < len(arg); j++ {
			value := arg[j+1:]
			switch arg[j] {
			case 'm':
				rest := args[i+1:]
				if value == "" {
					value = at(rest, 0)
					rest = rest[min(1, len(rest)):]
				}
				value = strings.TrimSuffix(value, ".__main__")
				if name := p.pythonTool(value, rest); name != "" {
					return name
				}
				return value
			case 'c':
				return ""
			case 'W', 'X', 'Q':
				if value == "" {
					i++
				}
				break cluster
			}
		}
	}
	return ""
}

func (p program) pythonScript(args []string) string {
	script := at(args, 0)
	if script == "" || script == "-" {
		return ""
	}
	name := scriptName(script)
	if tool := p.pythonTool(name, args[1:]); tool != "" {
		return tool
	}
	switch name {
	case "__main__", "main", "manage", "wsgi", "asgi":
		return p.directoryOr(script, name)
	}
	return name
}

// application as in shop.wsgi:application, an argument of ASGI and WSGI
// servers. localhost:8000 is none.
var application = regexp.MustCompile(`^[A-Za-z_][\w./]*:[A-Za-z_][\w.]*(\(.*\))?$`)

// pythonTool names what a well-known server or task runner runs.
func (p program) pythonTool(tool string, args []string) string {
	switch tool {
	case "gunicorn", "uvicorn", "hypercorn", "daphne", "granian", "waitress-serve", "waitress", "uwsgi":
		for _, arg := range args {
			if application.MatchString(arg) {
				return p.fromApplication(arg)
			}
		}
		// gunicorn shop.wsgi: the attribute is "application" by default.
		if last := at(args, len(args)-1); dotted.MatchString(last) && strings.Contains(last, ".") {
			return p.fromApplication(last)
		}
		return tool
	case "flask", "celery", "rq", "dramatiq":
		for i, arg := range args {
			for _, option := range [...]string{"--app", "-A"} {
				if arg == option && at(args, i+1) != "" {
					return p.fromApplication(args[i+1])
				}
				if value, ok := strings.CutPrefix(arg, option+"="); ok {
					return p.fromApplication(value)
				}
			}
		}
		if tool == "flask" {
			if app := p.variable("FLASK_APP"); app != "" {
				return p.fromApplication(app)
			}
			return p.directoryOr("", tool)
		}
		return tool
	case "streamlit", "fastapi":
		for _, arg := range args {
			if strings.HasSuffix(arg, ".py") {
				return p.pythonScript([]string{arg})
			}
		}
		return tool
	}
	return ""
}

// dotted is a Python module.
var dotted = regexp.MustCompile(`^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$`)

// fromApplication names shop.wsgi:application "shop".
func (p program) fromApplication(s string) string {
	module, _, _ := strings.Cut(s, ":")
	if strings.HasSuffix(module, ".py") {
		return p.pythonScript([]string{module})
	}
	parts := strings.FieldsFunc(module, func(c rune) bool { return c == '.' || c == '/' })
	for len(parts) > 1 {
		switch parts[len(parts)-1] {
		case "wsgi", "asgi", "main", "app", "application", "server", "celery", "__main__", "api":
			parts = parts[:len(parts)-1]
			continue
		}
		break
	}
	if len(parts) == 0 {
		return ""
	}
	name := parts[len(parts)-1]
	switch name {
	case "wsgi", "asgi", "main":
		return p.directoryOr("", name)
	}
	return name
}

var nodeValues = set("-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions",
	"--input-type", "--env-file", "--inspect-port", "--title", "--icu-data-dir", "--openssl-config", "--watch-path",
	"--diagnostic-dir", "--max-http-header-size", "--unhandled-rejections", "--dns-result-order")

func (p program) node(args []string) string {
	i := positional(args, nodeValues)
	for _, arg := range args[:i] {
		switch arg {
		case "-e", "--eval", "-p", "--print", "-pe":
			return ""
		}
	}
	script := at(args, i)
	if script == "" || script == "-" {
		return ""
	}
	// A tool from the project's dependencies runs the project.
	if before, _, ok := strings.Cut(script, "/node_modules/"); ok {
		if name := directoryName(before); name != "" {
			return name
		}
	}
	name := scriptName(script)
	switch name {
	case "index", "main", "server", "app", ".", "..", "start", "www":
		if name == "." || name == ".." {
			return p.directoryOr(script+"/x", "")
		}
		return p.directoryOr(script, name)
	}
	return name
}

// runner is for bun and deno, whose programs may stand behind "run".
func (p program) runner(args []string) string {
	i := positional(args, nodeValues)
	switch at(args, i) {
	case "run", "serve", "start":
		i++
		i += positional(args[i:], nodeValues)
	}
	return p.node(args[i:])
}

var rubyValues = set("-r", "-I", "-C", "-E", "-x")

func (p program) ruby(args []string) string {
	if at(args, 0) == "-e" {
		return ""
	}
	script := at(args, positional(args, rubyValues))
	name := scriptName(script)
	switch name {
	case "rails", "puma", "rackup", "unicorn", "unicorn_rails", "thin", "sidekiq", "rake", "bundle", "spring":
		return p.directoryOr("", name)
	case "main", "server", "app", "config":
		return p.directoryOr(script, name)
	}
	return name
}

var phpValues = set("-d", "-c", "-t", "-z")

func (p program) php(args []string) string {
	first := positional(args, phpValues)
	for i, arg := range args[:first] {
		switch arg {
		case "-r", "-B", "-R", "-E":
			return ""
		case "-S":
			return p.directoryOr("", "php")
		case "-f":
			return p.phpScript(at(args, i+1))
		}
	}
	return p.phpScript(at(args, first))
}

func (p program) phpScript(script string) string {
	name := scriptName(script)
	switch name {
	case "index", "server", "main", "artisan", "console":
		return p.directoryOr(script, name)
	}
	return name
}

var perlValues = set("-I", "-x")

func (p program) perl(args []string) string {
	if flag := at(args, 0); strings.HasPrefix(flag, "-") && strings.ContainsAny(flag, "eE") && len(flag) <= 4 {
		return ""
	}
	return scriptName(at(args, positional(args, perlValues)))
}

var shellValues = set("-o", "+o", "-O", "+O", "--rcfile", "--init-file")

func (p program) shell(args []string) string {
	i := positional(args, shellValues)
	for _, arg := range args[:i] {
		if strings.HasPrefix(arg, "-") && !strings.HasPrefix(arg, "--") && strings.Contains(arg, "c") {
			return "" // the rest is code
		}
	}
	return scriptName(at(args, i))
}

var javaValues = set("-cp", "-classpath", "--class-path", "-p", "--module-path", "--upgrade-module-path", "--add-modules",
	"--add-opens", "--add-exports", "--add-reads", "--limit-modules", "--patch-module", "--source", "--enable-native-access")

// jarVersion as in foo-1.2.jar, foo-1.2-SNAPSHOT.jar, foo-v3.jar.
var jarVersion = regexp.MustCompile(`[-_.]v?[0-9][\w.+-]*$`)

func (p program) java(args []string) string {
	for _, arg := range args {
		for _, property := range [...]string{"-Dspring.application.name=", "--spring.application.name="} {
			if name, ok := strings.CutPrefix(arg, property); ok && name != "" {
				return name
			}
		}
	}
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "-jar":
			// Options may stand between.
			return p.jar(at(args, i+1+positional(args[min(i+1, len(args)):], javaValues)))
		case arg == "-m" || arg == "--module":
			module, class, ok := strings.Cut(at(args, i+1), "/")
			if !ok {
				class = module
			}
			return p.class(class)
		case javaValues[arg]:
			i++
		case strings.HasPrefix(arg, "-"), strings.HasPrefix(arg, "@"):
		case strings.HasSuffix(arg, ".java"):
			return scriptName(arg)
		default:
			return p.class(arg)
		}
	}
	return ""
}

func (p program) jar(file string) string {
	base := path.Base(file)
	if file == "" {
		return ""
	}
	base = strings.TrimSuffix(strings.TrimSuffix(base, ".jar"), ".war")
	if short := jarVersion.ReplaceAllString(base, ""); short != "" {
		base = short
	}
	switch base {
	case "app", "application", "main", "quarkus-run":
		return p.directoryOr(file, base)
	}
	return base
}

func (p program) class(class string) string {
	switch class {
	case "org.apache.catalina.startup.Bootstrap":
		return "tomcat"
	case "kafka.Kafka":
		return "kafka"
	case "org.apache.zookeeper.server.quorum.QuorumPeerMain":
		return "zookeeper"
	case "org.apache.cassandra.service.CassandraDaemon":
		return "cassandra"
	}
	name := class[strings.LastIndexAny(class, "./")+1:]
	switch name {
	case "JarLauncher", "WarLauncher", "PropertiesLauncher": // Spring Boot, unpacked
		return p.directoryOr("", name)
	}
	return name
}

func (p program) dotnet(args []string) string {
	i := positional(args, set("--roll-forward", "--fx-version", "--additionalprobingpath", "--depsfile", "--runtimeconfig", "--additional-deps"))
	if at(args, i) == "exec" {
		rest := args[i+1:]
		i += 1 + positional(rest, set("--roll-forward", "--fx-version", "--additionalprobingpath", "--depsfile", "--runtimeconfig", "--additional-deps"))
	}
	return strings.TrimSuffix(path.Base(at(args, i)), ".dll")
}

func (p program) erlang(args []string) string {
	if name := p.variable("RELEASE_NAME"); name != "" {
		return name
	}
	for i, arg := range args {
		if arg == "-sname" || arg == "-name" {
			node, _, _ := strings.Cut(at(args, i+1), "@")
			return node
		}
	}
	return ""
}

func (p program) variable(name string) string {
	if p.env == nil {
		return ""
	}
	for _, entry := range p.env() {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// scriptExtensions are taken off; other dots are part of the name.
var scriptExtensions = set(".py", ".pyc", ".pyz", ".pex", ".js", ".mjs", ".cjs", ".ts", ".mts", ".tsx", ".rb", ".ru", ".php",
	".phar", ".pl", ".psgi", ".sh", ".bash", ".zsh", ".fish", ".java", ".exe", ".lua", ".tcl", ".jl")

func scriptName(script string) string {
	// A descriptor (bash <(...), sh /dev/stdin) has no name.
	if script == "" || strings.HasPrefix(script, "/dev/") || strings.HasPrefix(script, "/proc/") {
		return ""
	}
	base := path.Base(script)
	if extension := path.Ext(base); scriptExtensions[extension] && len(extension) < len(base) {
		return strings.TrimSuffix(base, extension)
	}
	return base
}

// directoryOr names a script that has a name like every other (index.js) by
// the directory it is in; that of the process if script is empty. name is for
// where the directory tells as little.
func (p program) directoryOr(script, name string) string {
	directory := path.Dir(script)
	if script == "" {
		directory = "."
	}
	if !path.IsAbs(directory) {
		cwd := ""
		if p.cwd != nil {
			cwd = p.cwd()
		}
		if cwd == "" {
			return name
		}
		directory = path.Join(cwd, directory)
	}
	if found := directoryName(directory); found != "" {
		return found
	}
	return name
}

// layout directories are parts of a project, not its name.
var layout = set("src", "dist", "build", "lib", "bin", "out", "public", "www", "target", "current", "releases", "release",
	"code", "server", "backend", "libs", "scripts", "config")

// places hold projects.
var places = set("app", "apps", "srv", "opt", "usr", "local", "home", "root", "tmp", "var", "work", "workspace", "data",
	"html", "node", "share", "mnt", "bitnami", "application", "deployments", "project")

// directoryName climbs from a path to the first directory that is named after
// something; "" if there is none.
func directoryName(directory string) string {
	for directory != "/" && directory != "." && directory != "" {
		base := path.Base(directory)
		if places[base] {
			return ""
		}
		if !layout[base] {
			if path.Dir(directory) == "/home" {
				return "" // a person
			}
			return base
		}
		directory = path.Dir(directory)
	}
	return ""
}
