// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

var background = context.Background()

// ContainerID makes up an id as containerd does.
func ContainerID() string {
	var b [32]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// Namespace makes one with labels.
func (c *Cluster) Namespace(name string, labels map[string]string) *corev1.Namespace {
	c.t.Helper()
	n, err := c.CoreV1().Namespaces().Create(background,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{})
	require.NoError(c.t, err)
	return n
}

// LabelNamespace sets labels of a namespace; null removes one.
func (c *Cluster) LabelNamespace(name, patch string) {
	c.t.Helper()
	_, err := c.CoreV1().Namespaces().Patch(background, name, types.MergePatchType,
		[]byte(`{"metadata":{"labels":`+patch+`}}`), metav1.PatchOptions{})
	require.NoError(c.t, err)
}

// Pod says what a pod shall be.
type Pod struct {
	Namespace, Name, Node string
	Labels, Annotations   map[string]string
	// Owner is the controller, from the functions below; may be nil.
	Owner *metav1.OwnerReference
	// Containers are names by container id; at least one container has to have a
	// name. An id that is empty belongs to a container that does not run yet.
	Containers []Container
	IPs        []string
	Ports      []int32
	HostNet    bool
}

// Container of a pod: Kind is empty or "init".
type Container struct{ Name, ID, Kind string }

// Pod makes a pod that is bound to its node already and runs: what the scheduler and
// kubelet do.
func (c *Cluster) Pod(p Pod) *corev1.Pod {
	c.t.Helper()
	grace := int64(0)
	o := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name, Labels: p.Labels, Annotations: p.Annotations},
		Spec: corev1.PodSpec{NodeName: p.Node, HostNetwork: p.HostNet, TerminationGracePeriodSeconds: &grace,
			AutomountServiceAccountToken: new(bool)},
	}
	if p.Owner != nil {
		o.OwnerReferences = []metav1.OwnerReference{*p.Owner}
	}
	for _, container := range p.Containers {
		spec := corev1.Container{Name: container.Name, Image: "registry.example/" + container.Name + ":1.2.3"}
		if container.Kind == "init" {
			o.Spec.InitContainers = append(o.Spec.InitContainers, spec)
			continue
		}
		if len(o.Spec.Containers) == 0 {
			for _, port := range p.Ports {
				spec.Ports = append(spec.Ports, corev1.ContainerPort{ContainerPort: port})
			}
		}
		o.Spec.Containers = append(o.Spec.Containers, spec)
	}
	made, err := c.CoreV1().Pods(p.Namespace).Create(background, o, metav1.CreateOptions{})
	require.NoError(c.t, err)
	return c.Status(made, p.Containers, p.IPs...)
}

// Status writes what kubelet would: which containers run, and the pod's addresses.
func (c *Cluster) Status(o *corev1.Pod, containers []Container, ips ...string) *corev1.Pod {
	c.t.Helper()
	now := metav1.Now()
	status := corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &now, HostIP: "192.0.2.10"}
	if len(ips) > 0 {
		status.PodIP = ips[0]
	}
	for _, ip := range ips {
		status.PodIPs = append(status.PodIPs, corev1.PodIP{IP: ip})
	}
	for _, container := range containers {
		s := corev1.ContainerStatus{Name: container.Name, Image: "registry.example/" + container.Name + ":1.2.3"}
		if container.ID != "" {
			s.ContainerID = "containerd://" + container.ID
			s.State.Running = &corev1.ContainerStateRunning{StartedAt: now}
			s.Ready = true
		}
		switch container.Kind {
		case "init":
			status.InitContainerStatuses = append(status.InitContainerStatuses, s)
		case "ephemeral":
			status.EphemeralContainerStatuses = append(status.EphemeralContainerStatuses, s)
		default:
			status.ContainerStatuses = append(status.ContainerStatuses, s)
		}
	}
	o = o.DeepCopy()
	o.Status = status
	made, err := c.CoreV1().Pods(o.Namespace).UpdateStatus(background, o, metav1.UpdateOptions{})
	require.NoError(c.t, err)
	return made
}

// LabelPod sets labels of a pod; null removes one.
func (c *Cluster) LabelPod(namespace, name, patch string) {
	c.t.Helper()
	_, err := c.CoreV1().Pods(namespace).Patch(background, name, types.MergePatchType,
		[]byte(`{"metadata":{"labels":`+patch+`}}`), metav1.PatchOptions{})
	require.NoError(c.t, err)
}

// DeletePod deletes at once, as kubelet does when the containers have ended.
func (c *Cluster) DeletePod(namespace, name string) {
	c.t.Helper()
	grace := int64(0)
	require.NoError(c.t, c.CoreV1().Pods(namespace).Delete(background, name, metav1.DeleteOptions{GracePeriodSeconds: &grace}))
}

func controller(apiVersion, kind string, o metav1.Object) *metav1.OwnerReference {
	yes := true
	return &metav1.OwnerReference{APIVersion: apiVersion, Kind: kind, Name: o.GetName(), UID: o.GetUID(), Controller: &yes}
}

// template of pods with a label.
func template(labels map[string]string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "registry.example/c:1"}}},
	}
}

// PodTemplateHash is that of the ReplicaSets that Deployment makes.
const PodTemplateHash = "7d9f8c6b5"

// Deployment makes one with its ReplicaSet, and returns the owner of its pods, which
// need the label pod-template-hash with the value PodTemplateHash.
func (c *Cluster) Deployment(namespace, name string) *metav1.OwnerReference {
	c.t.Helper()
	labels := map[string]string{"app": name}
	d, err := c.AppsV1().Deployments(namespace).Create(background, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template(labels)},
	}, metav1.CreateOptions{})
	require.NoError(c.t, err)
	return c.ReplicaSet(namespace, name+"-"+PodTemplateHash, controller("apps/v1", "Deployment", d))
}

// ReplicaSet makes one, with an owner or nil, and returns the owner of its pods.
func (c *Cluster) ReplicaSet(namespace, name string, owner *metav1.OwnerReference) *metav1.OwnerReference {
	c.t.Helper()
	labels := map[string]string{"replicaset": name}
	o := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       appsv1.ReplicaSetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template(labels)},
	}
	if owner != nil {
		o.OwnerReferences = []metav1.OwnerReference{*owner}
	}
	r, err := c.AppsV1().ReplicaSets(namespace).Create(background, o, metav1.CreateOptions{})
	require.NoError(c.t, err)
	return controller("apps/v1", "ReplicaSet", r)
}

// Job makes one of a CronJob, and returns the owner of its pods.
func (c *Cluster) Job(namespace, name, cronJob string) *metav1.OwnerReference {
	c.t.Helper()
	spec := batchv1.JobSpec{Template: template(nil)}
	spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	cron, err := c.BatchV1().CronJobs(namespace).Create(background, &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: cronJob},
		Spec:       batchv1.CronJobSpec{Schedule: "0 0 1 1 *", JobTemplate: batchv1.JobTemplateSpec{Spec: spec}},
	}, metav1.CreateOptions{})
	require.NoError(c.t, err)
	job, err := c.BatchV1().Jobs(namespace).Create(background, &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: []metav1.OwnerReference{*controller("batch/v1", "CronJob", cron)}},
		Spec:       spec,
	}, metav1.CreateOptions{})
	require.NoError(c.t, err)
	return controller("batch/v1", "Job", job)
}

// Service makes one of TCP ports; clusterIP is empty (the API server chooses), an
// address of 10.96.0.0/16, or None.
func (c *Cluster) Service(namespace, name, clusterIP string, ports ...int32) *corev1.Service {
	c.t.Helper()
	o := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.ServiceSpec{ClusterIP: clusterIP, Selector: map[string]string{"app": name}},
	}
	for _, port := range ports {
		o.Spec.Ports = append(o.Spec.Ports, corev1.ServicePort{Name: "p" + strings.Repeat("x", len(o.Spec.Ports)), Port: port})
	}
	s, err := c.CoreV1().Services(namespace).Create(background, o, metav1.CreateOptions{})
	require.NoError(c.t, err)
	return s
}

// EndpointSlice makes the one of a service, as its controller does: pods that serve
// a port.
func (c *Cluster) EndpointSlice(namespace, service string, port int32, pods ...*corev1.Pod) *discoveryv1.EndpointSlice {
	c.t.Helper()
	yes := true
	o := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: service + "-", Labels: map[string]string{discoveryv1.LabelServiceName: service},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Port: &port}},
	}
	for _, p := range pods {
		o.Endpoints = append(o.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{p.Status.PodIP}, NodeName: &p.Spec.NodeName,
			Conditions: discoveryv1.EndpointConditions{Ready: &yes},
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: p.Namespace, Name: p.Name, UID: p.UID},
		})
	}
	s, err := c.DiscoveryV1().EndpointSlices(namespace).Create(background, o, metav1.CreateOptions{})
	require.NoError(c.t, err)
	return s
}

// ServiceAccount makes one that has a ClusterRole with rules and nothing else, and
// returns a token of it.
func (c *Cluster) ServiceAccount(namespace, name string, rules []rbacv1.PolicyRule) (token string) {
	c.t.Helper()
	_, err := c.CoreV1().ServiceAccounts(namespace).Create(background,
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	require.NoError(c.t, err)
	_, err = c.RbacV1().ClusterRoles().Create(background,
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}, metav1.CreateOptions{})
	require.NoError(c.t, err)
	_, err = c.RbacV1().ClusterRoleBindings().Create(background, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: namespace, Name: name}},
	}, metav1.CreateOptions{})
	require.NoError(c.t, err)
	t, err := c.CoreV1().ServiceAccounts(namespace).CreateToken(background, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	require.NoError(c.t, err)
	return t.Status.Token
}
