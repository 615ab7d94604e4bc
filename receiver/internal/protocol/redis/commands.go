// SPDX-License-Identifier: Apache-2.0

package redis

// kinds is a set of types of replies.
type kinds uint16

const (
	simple kinds = 1 << iota
	integer
	bulk
	array
	null
	mapped
	set
	double
	boolean
	verbatim
	number
	failure
	anyKind kinds = 0
)

// kindOf is a reply's type by its first byte.
func kindOf(c byte) kinds {
	switch c {
	case '+':
		return simple
	case '-', '!':
		return failure
	case ':':
		return integer
	case '$':
		return bulk
	case '*':
		return array
	case '_':
		return null
	case '%':
		return mapped
	case '~':
		return set
	case ',':
		return double
	case '#':
		return boolean
	case '=':
		return verbatim
	case '(':
		return number
	}
	return 0
}

// traits of a command.
type traits uint16

const (
	// container: the next argument is a part of the command's name.
	container traits = 1 << iota
	// secret: its arguments may be passwords.
	secret
	// blocking: it waits. option: it does with BLOCK among its arguments.
	blocking
	option
	// subscribe, unsubscribe: one confirmation per channel.
	subscribe
	unsubscribe
	// procedure: the first argument names a script or function.
	procedure
	// changes: of the connection's state, told apart by name.
	changes
	// listening: it may be sent by a subscriber.
	listening
)

// command is what is known of one.
type command struct {
	name   string
	traits traits
	// replies are the types it can be answered with, besides errors and +QUEUED;
	// anyKind if that is not certain.
	replies kinds
}

var (
	cmdAuth, cmdSelect, cmdReset, cmdQuit *command

	cmdMulti, cmdExec, cmdDiscard, cmdClient *command

	cmdMonitor, cmdSync, cmdPsync *command
)

// commands by name, in upper case.
var commands = map[string]*command{}

func add(t traits, replies kinds, names ...string) (last *command) {
	for _, name := range names {
		last = &command{name: name, traits: t, replies: replies}
		commands[name] = last
	}
	return last
}

func init() {
	// Integers, whatever the options are.
	add(0, integer, "APPEND", "BITCOUNT", "BITOP", "BITPOS", "COPY", "DBSIZE", "DECR", "DECRBY", "DEL", "EXISTS",
		"EXPIRE", "EXPIREAT", "EXPIRETIME", "GETBIT", "HDEL", "HEXISTS", "HINCRBY", "HLEN", "HSET", "HSETNX", "HSTRLEN",
		"INCR", "INCRBY", "LASTSAVE", "LINSERT", "LLEN", "LPUSH", "LPUSHX", "LREM", "MOVE", "MSETNX", "PERSIST",
		"PEXPIRE", "PEXPIREAT", "PEXPIRETIME", "PFADD", "PFCOUNT", "PTTL", "PUBLISH", "RENAMENX", "RPUSH", "RPUSHX",
		"SADD", "SCARD", "SDIFFSTORE", "SETBIT", "SETNX", "SETRANGE", "SINTERCARD", "SINTERSTORE", "SISMEMBER",
		"SMOVE", "SPUBLISH", "SREM", "STRLEN", "SUNIONSTORE", "TOUCH", "TTL", "UNLINK", "XACK", "XDEL", "XLEN", "XTRIM",
		"ZCARD", "ZCOUNT", "ZDIFFSTORE", "ZINTERCARD", "ZINTERSTORE", "ZLEXCOUNT", "ZRANGESTORE", "ZREM",
		"ZREMRANGEBYLEX", "ZREMRANGEBYRANK", "ZREMRANGEBYSCORE", "ZUNIONSTORE")
	add(0, simple, "FLUSHALL", "FLUSHDB", "HMSET", "LSET", "LTRIM", "MSET", "PSETEX", "RENAME", "SETEX", "UNWATCH",
		"WATCH", "TYPE", "READONLY", "READWRITE", "ASKING", "PFMERGE", "SWAPDB", "SAVE", "BGSAVE", "BGREWRITEAOF")
	add(0, bulk|null, "GET", "GETDEL", "GETEX", "GETSET", "HGET", "LINDEX", "RPOPLPUSH", "LMOVE", "DUMP", "RANDOMKEY")
	add(0, bulk, "ECHO", "GETRANGE", "SUBSTR", "HINCRBYFLOAT", "INCRBYFLOAT")
	add(0, simple|bulk|null, "SET")
	add(0, array, "HMGET", "HVALS", "HKEYS", "KEYS", "LRANGE", "MGET", "SCAN", "HSCAN", "SSCAN", "ZSCAN", "SMISMEMBER",
		"SORT_RO", "TIME", "XRANGE", "XREVRANGE", "GEOPOS", "GEOHASH", "ROLE", "BITFIELD", "BITFIELD_RO")
	add(0, array|mapped, "HGETALL")
	add(0, array|set, "SMEMBERS", "SDIFF", "SINTER", "SUNION")
	add(0, array|set|null, "ZRANGE", "ZRANGEBYLEX", "ZRANGEBYSCORE", "ZREVRANGE", "ZREVRANGEBYLEX", "ZREVRANGEBYSCORE")
	add(0, bulk|double|null, "ZSCORE")
	add(0, bulk|double, "ZINCRBY")
	add(0, array|null, "ZMSCORE")
	add(0, bulk|verbatim, "INFO", "LOLWUT")
	add(0, anyKind, "LPOP", "RPOP", "SPOP", "SRANDMEMBER", "HRANDFIELD", "ZRANDMEMBER", "ZADD", "ZRANK", "ZREVRANK",
		"ZPOPMIN", "ZPOPMAX", "ZDIFF", "ZINTER", "ZUNION", "ZMPOP", "LMPOP", "LPOS", "LCS", "SORT", "GEOADD", "GEODIST",
		"GEORADIUS", "GEORADIUS_RO", "GEORADIUSBYMEMBER", "GEORADIUSBYMEMBER_RO", "GEOSEARCH", "GEOSEARCHSTORE", "XADD",
		"XCLAIM", "XAUTOCLAIM", "XPENDING", "XSETID", "RESTORE", "SHUTDOWN", "REPLICAOF", "SLAVEOF", "FAILOVER",
		"HEXPIRE", "HPEXPIRE", "HTTL", "HPTTL", "HPERSIST", "HGETEX", "HSETEX", "HGETDEL", "VADD", "VSIM",
		"RESTORE-ASKING", "PFDEBUG", "PFSELFTEST", "REPLCONF")
	add(blocking, anyKind, "BLPOP", "BRPOP", "BLMOVE", "BRPOPLPUSH", "BLMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP", "WAIT", "WAITAOF")
	add(option, anyKind, "XREAD", "XREADGROUP")
	add(subscribe, anyKind, "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE")
	add(unsubscribe, anyKind, "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE")
	add(listening, anyKind, "PING")
	add(procedure, anyKind, "EVALSHA", "EVALSHA_RO", "FCALL", "FCALL_RO")
	add(0, anyKind, "EVAL", "EVAL_RO")
	add(container, anyKind, "CLUSTER", "COMMAND", "DEBUG", "FUNCTION", "LATENCY", "MEMORY", "MODULE", "OBJECT", "PUBSUB",
		"SCRIPT", "SLOWLOG", "XGROUP", "XINFO")
	add(container|secret, anyKind, "ACL", "CONFIG", "SENTINEL")
	add(secret, anyKind, "MIGRATE")
	cmdClient = add(container|secret|changes, anyKind, "CLIENT")
	cmdAuth = add(secret, simple, "AUTH")
	add(secret, array|mapped, "HELLO")
	cmdSelect = add(changes, simple, "SELECT")
	cmdReset = add(changes|listening, simple, "RESET")
	cmdQuit = add(listening, simple, "QUIT")
	cmdMulti = add(changes, simple, "MULTI")
	cmdExec = add(changes, array|null, "EXEC")
	cmdDiscard = add(changes, simple, "DISCARD")
	cmdMonitor = add(changes, simple, "MONITOR")
	cmdSync = add(changes, anyKind, "SYNC")
	cmdPsync = add(changes, anyKind, "PSYNC")
}

// maxName is the longest name of a command, in bytes.
const maxName = 40

// upper copies a name in upper case; nil if that cannot be the name of a command.
func upper(to *[2*maxName + 1]byte, name []byte) []byte {
	if len(name) == 0 || len(name) > maxName {
		return nil
	}
	for i, c := range name {
		switch {
		case c-'a' < 26:
			c -= 'a' - 'A'
		case c-'A' < 26:
		case i > 0 && (c-'0' < 10 || c == '.' || c == '_' || c == '-' || c == '|'):
		default:
			return nil
		}
		to[i] = c
	}
	return to[:len(name)]
}
