// SPDX-License-Identifier: Apache-2.0

package sqltext

// keyword is a word that means something to the summary.
type keyword uint8

const (
	notKeyword keyword = iota
	// Operations that begin statements, or parts of them.
	wordSelect
	wordInsert // INSERT, REPLACE
	wordUpdate
	wordDelete
	wordMerge
	wordWith
	wordTable
	// DDL: the kind of an object follows, then its name.
	wordCreate // CREATE, ALTER
	wordDrop
	wordTruncate
	// Statements whose next word is what they are about.
	wordCall // CALL, EXEC
	wordExecute
	wordMaintain // VACUUM, ANALYZE, CLUSTER, REINDEX, LOCK, OPTIMIZE
	wordCopy
	wordUse // USE, SHOW
	wordLoad
	// Statements that hold others.
	wordExplain // EXPLAIN, DESCRIBE, DESC, PREPARE, DECLARE
	wordStart
	wordBegin
	wordEnd

	// What follows are tables.
	wordFrom
	wordInto
	wordJoin
	wordUsing
	// The end of a list of tables.
	wordClause
	wordSetOperation // UNION, INTERSECT, EXCEPT, MINUS
	// Words between an operation and its target.
	wordModifier
	wordOnly // ONLY, LATERAL
	wordDistinct
	wordAs
	wordRecursive
	wordOn
	wordData
	wordBatch
	wordTransaction
	wordApply
	// Kinds of objects, besides tables: those of code, and others.
	wordObject
	wordRoutine
)

var keywords = map[string]keyword{
	"select": wordSelect, "insert": wordInsert, "replace": wordInsert, "update": wordUpdate, "delete": wordDelete,
	"merge": wordMerge, "upsert": wordInsert, "with": wordWith, "table": wordTable,
	"create": wordCreate, "alter": wordCreate, "drop": wordDrop, "truncate": wordTruncate,
	"call": wordCall, "exec": wordCall, "execute": wordExecute,
	"vacuum": wordMaintain, "analyze": wordMaintain, "cluster": wordMaintain, "reindex": wordMaintain, "lock": wordMaintain,
	"optimize": wordMaintain, "refresh": wordMaintain,
	"copy": wordCopy, "use": wordUse, "show": wordUse, "load": wordLoad,
	"explain": wordExplain, "describe": wordExplain, "desc": wordExplain, "prepare": wordExplain, "declare": wordExplain,
	"start": wordStart, "begin": wordBegin, "end": wordEnd,
	"from": wordFrom, "into": wordInto, "join": wordJoin, "straight_join": wordJoin, "using": wordUsing,
	"where": wordClause, "set": wordClause, "group": wordClause, "order": wordClause, "having": wordClause, "limit": wordClause,
	"returning": wordClause, "values": wordClause, "window": wordClause, "for": wordClause, "offset": wordClause,
	"fetch": wordClause, "qualify": wordClause, "default": wordClause,
	"union": wordSetOperation, "intersect": wordSetOperation, "except": wordSetOperation, "minus": wordSetOperation,
	"only": wordOnly, "lateral": wordOnly, "apply": wordApply, "materialized": wordModifier, "if": wordModifier, "not": wordModifier, "exists": wordModifier,
	"low_priority": wordModifier, "high_priority": wordModifier, "delayed": wordModifier, "ignore": wordModifier,
	"quick": wordModifier, "concurrently": wordModifier, "verbose": wordModifier, "full": wordModifier, "freeze": wordModifier,
	"overwrite": wordModifier, "no_write_to_binlog": wordModifier, "local": wordModifier, "infile": wordModifier,
	"unlogged": wordModifier,
	"distinct": wordDistinct, "as": wordAs, "recursive": wordRecursive, "on": wordOn, "data": wordData, "batch": wordBatch,
	"transaction": wordTransaction,
	"view":        wordObject, "index": wordObject, "database": wordObject, "schema": wordObject, "sequence": wordObject,
	"user": wordObject, "role": wordObject, "type": wordObject, "domain": wordObject, "extension": wordObject,
	"keyspace": wordObject, "server": wordObject, "language": wordObject, "policy": wordObject, "rule": wordObject,
	"publication": wordObject, "subscription": wordObject, "tablespace": wordObject, "collation": wordObject,
	"statistics": wordObject, "system": wordObject,
	"function": wordRoutine, "procedure": wordRoutine, "trigger": wordRoutine, "event": wordRoutine, "aggregate": wordRoutine,
	"package": wordRoutine,
}

const longestKeyword = 18

// beginnings[i] has a bit for each length of the keywords that begin with the i-th
// letter: nearly all other words are told by that.
var beginnings [26]uint32

// table has the keywords by hash, the next ones behind where that is taken.
var table [512]struct {
	word string
	keyword
}

func init() {
	for word, k := range keywords {
		beginnings[word[0]-'a'] |= 1 << len(word)
		i := hash([]byte(word)) % len(table)
		for table[i].word != "" {
			i = (i + 1) % len(table)
		}
		table[i].word, table[i].keyword = word, k
	}
}

// hash of a word that is no shorter than two letters, in either case.
func hash(word []byte) int {
	n := len(word)
	return int(word[0]|0x20)*7 + int(word[n-1]|0x20)*31 + int(word[n/2]|0x20)*101 + n*13
}

// lookup finds what a word means.
func lookup(word []byte) keyword {
	if len(word) > longestKeyword {
		return notKeyword
	}
	first := word[0] | 0x20 - 'a'
	if first > 25 || beginnings[first]>>len(word)&1 == 0 {
		return notKeyword
	}
	for i := hash(word) % len(table); ; i = (i + 1) % len(table) {
		e := &table[i]
		if e.word == "" {
			return notKeyword
		}
		if equalFold(word, e.word) {
			return e.keyword
		}
	}
}
