// SPDX-License-Identifier: Apache-2.0

// Package deployment checks what is in distribution/ and the Kubernetes examples: that
// Kubernetes knows every field, that what refers to each other fits, that the Collector
// accepts the configurations in them, that the Helm chart and the plain manifests say
// the same, and that the image is built from what the Dockerfile says.
//
// It is a module of its own: Helm, kustomize and Kubernetes' types are no requirements
// of the receiver.
package deployment
