// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package engine

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"
	"k8s.io/client-go/rest"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/cluster/kube"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/internal/config"
)

// join begins to ask the cluster's API server, if there is a cluster. It does not wait
// for answers.
func (e *Engine) join() error {
	c, logger := e.settings.Config.Kubernetes, e.settings.Logger
	if c.Enabled == config.SwitchFalse {
		return nil
	}
	server, err := apiServer(c)
	if errors.Is(err, kube.ErrNoCluster) && c.Enabled == config.SwitchAuto {
		logger.Info("not in a Kubernetes cluster: nothing is asked of one (kubernetes.enabled: auto)", zap.String("because", err.Error()))
		return nil
	}
	if err != nil {
		return fmt.Errorf("kubernetes: %w: mend it, or write kubernetes.enabled: false", err)
	}
	node, from := kube.NodeName(c.Node)
	view, err := kube.New(kube.Options{
		Config: server, Node: node, Logger: logger,
		Peers: map[config.ClusterPeers]kube.Peers{config.PeersServices: kube.PeersServices, config.PeersPods: kube.PeersPods}[c.Peers],
	})
	if err != nil {
		return fmt.Errorf("kubernetes: %w: mend it, or write kubernetes.enabled: false", err)
	}
	view.Start()
	e.kube, e.cluster = view, view
	logger.Info("asking the Kubernetes API server about this node",
		zap.String("server", server.Host), zap.String("node", node), zap.String("node_from", from))
	return nil
}

func apiServer(c config.Kubernetes) (*rest.Config, error) {
	if c.AuthType == config.AuthKubeConfig {
		return kube.FromKubeconfig(c.Context)
	}
	return kube.InCluster()
}

// clusterProblem says why what is known of the cluster is out of date.
func (e *Engine) clusterProblem() error {
	if e.kube == nil {
		return nil
	}
	return e.kube.Problem()
}

// observeCluster registers a callback that tells of each resource of the cluster.
func (e *Engine) observeCluster(pick func(kube.Status) int64) metric.Int64Callback {
	return func(_ context.Context, o metric.Int64Observer) error {
		if e.kube == nil {
			return nil
		}
		for _, s := range e.kube.Status() {
			o.Observe(pick(s), metric.WithAttributes(attribute.String("resource", s.Resource)))
		}
		return nil
	}
}

func clusterObjects(s kube.Status) int64 { return int64(s.Objects) }
func clusterErrors(s kube.Status) int64  { return int64(s.Errors) }

func clusterCurrent(s kube.Status) int64 {
	if s.Current {
		return 1
	}
	return 0
}
