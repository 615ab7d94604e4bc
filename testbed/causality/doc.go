// SPDX-License-Identifier: Apache-2.0

// Package causality measures whether the spans of a request that travels through
// several services have the right parents.
//
// The truth travels in the path of the request and nowhere else; no header is
// passed on. Every request of a scenario has the path
//
//	/SCENARIO/ID/NODE/SIZES/PLAN        /node-mix/c16-0042/0.1/200-3000/0=node~0.0=go,*2,go*1+node2
//
// NODE is its position in the tree of calls. SIZES are the bytes of body of each
// request of the tree and of each response. PLAN is the same for the whole tree: what the
// service at a node has to do, for every node that does something, separated by
// "~". That is steps, separated by ",", which are calls made at the same time,
// separated by "+". A call is the name of a service, "*" and milliseconds to wait
// before it; either may be left out. The calls of a node get the paths NODE.0,
// NODE.1 and so on, in the order of the plan.
//
// So the path of a span tells its place: the server span of a node belongs under
// the client span of the same node, and that under the server span of the node
// above. The load generator is not observed; what it calls are roots.
//
// In: names of scenarios. Out: a Result. Like groundtruth it must never use the
// receiver's own packages.
package causality
