// SPDX-License-Identifier: Apache-2.0

// Package route turns request paths into route templates of low cardinality:
// from the patterns of the configuration, and where the configuration asks
// for it from what the paths themselves look like.
//
// In: patterns once, paths ever after. Out: template strings. It must never
// know about HTTP messages, spans or who serves a path (a service instance is
// a key here, no more).
//
// # Patterns
//
// A pattern is a path. It matches whole paths, without the query, segment by
// segment, exactly as sent (case matters, percent signs are not decoded); one
// slash at the end of a path makes no difference. A segment of a pattern is
//
//	users              static: this text
//	{id} or :id        a parameter: any one segment that is not empty
//	v{n}.json, *.png   mixed: one parameter or star with text around it
//	*                  any one segment; at the end: all the rest, however deep
//	**, {rest...}      all the rest; only at the end
//
// "/static/*" matches /static/ and all below it, but not /static. Where several
// patterns match a path, the leftmost segment that differs decides: static
// beats mixed (more text first), mixed beats parameter, parameter beats star,
// and a star in the middle beats all the rest. The order of the list is of no
// importance. The template reported is the pattern as it was written.
package route
