package deployment
import (
_ "helm.sh/helm/v3/pkg/chart/loader"
_ "helm.sh/helm/v3/pkg/chartutil"
_ "helm.sh/helm/v3/pkg/engine"
_ "helm.sh/helm/v3/pkg/lint"
_ "k8s.io/client-go/kubernetes/scheme"
_ "k8s.io/apimachinery/pkg/runtime/serializer/json"
_ "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
_ "github.com/stretchr/testify/require"
_ "sigs.k8s.io/yaml"
_ "sigs.k8s.io/kustomize/api/krusty"
)
