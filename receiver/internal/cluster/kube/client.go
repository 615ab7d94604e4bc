// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"errors"
	"fmt"
	"net/http"
	"os"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// ErrNoCluster says that there is nothing to connect to: this process is not in a
// pod, or there is no kubeconfig.
var ErrNoCluster = errors.New("no Kubernetes cluster")

// InCluster is how a pod reaches its API server: the environment and the files that
// kubelet gives to it.
func InCluster() (*rest.Config, error) {
	config, err := rest.InClusterConfig()
	switch {
	case err == nil:
		return config, nil
	case errors.Is(err, rest.ErrNotInCluster):
		return nil, fmt.Errorf("%w: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set", ErrNoCluster)
	case errors.Is(err, os.ErrNotExist): // automountServiceAccountToken: false
		return nil, fmt.Errorf("%w: this pod has no service account token: %w", ErrNoCluster, err)
	default:
		return nil, fmt.Errorf("read the service account: %w", err)
	}
}

// FromKubeconfig reads the files that $KUBECONFIG names, or ~/.kube/config. context
// is one of theirs, or empty for the current one.
func FromKubeconfig(context string) (*rest.Config, error) {
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(),
		&clientcmd.ConfigOverrides{CurrentContext: context},
	).ClientConfig()
	switch {
	case err == nil:
		return config, nil
	case clientcmd.IsEmptyConfig(err):
		return nil, fmt.Errorf("%w: there is no kubeconfig (KUBECONFIG, ~/.kube/config)", ErrNoCluster)
	default:
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
}

const protobuf = "application/vnd.kubernetes.protobuf"

// The API groups that are spoken. client-go's own scheme knows all, at the cost of
// megabytes.
var (
	groups     = runtime.NewScheme()
	codecs     = serializer.NewCodecFactory(groups)
	parameters = runtime.NewParameterCodec(groups)
)

func init() {
	utilruntime.Must(corev1.AddToScheme(groups))
	utilruntime.Must(discoveryv1.AddToScheme(groups))
}

// clients share one connection to the API server.
type clients struct {
	http      *http.Client
	core      rest.Interface
	discovery rest.Interface
	metadata  metadata.Interface
}

func newClients(config *rest.Config) (*clients, error) {
	config = rest.CopyConfig(config)
	config.UserAgent = "otelcol-ebpf"
	config.AcceptContentTypes = protobuf + ",application/json"
	config.ContentType = protobuf
	config.WarningHandler = rest.NoWarnings{}
	shared, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	c := &clients{http: shared}
	if c.core, err = group(config, shared, "/api", corev1.SchemeGroupVersion); err != nil {
		return nil, err
	}
	if c.discovery, err = group(config, shared, "/apis", discoveryv1.SchemeGroupVersion); err != nil {
		return nil, err
	}
	c.metadata, err = metadata.NewForConfigAndClient(metadata.ConfigFor(config), shared)
	return c, err
}

func group(config *rest.Config, client *http.Client, path string, version schema.GroupVersion) (rest.Interface, error) {
	config = rest.CopyConfig(config)
	config.APIPath, config.GroupVersion = path, &version
	config.NegotiatedSerializer = codecs.WithoutConversion()
	return rest.RESTClientForConfigAndClient(config, client)
}
