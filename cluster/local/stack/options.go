package stack

import (
	"fmt"
	"maps"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"regionpool.io/provider-regionpool/cluster/local/kube"
)

// Options of a stack. The zero value of everything but Dir is what `up` runs.
type Options struct {
	// Dir is the stack's own folder, for logs, data, keys and kubeconfigs. Two
	// stacks need two of them. Only the logs are left when the stack ends.
	Dir string

	// Members are the self-built clusters; DefaultMembers if nil.
	Members []Member

	// WithoutHost leaves the host plane out: Crossplane, our function and our
	// provider.
	WithoutHost bool

	// WithoutPackages leaves out what our packages bring to the host plane: the
	// managed resources, the claims, their activation, our function and our
	// provider. It is for those who install the packages themselves.
	WithoutPackages bool

	// WithoutKarmada leaves the workload plane out: Karmada and our fleet.
	WithoutKarmada bool

	// WithoutCloud leaves the cloud simulator out.
	WithoutCloud bool

	// Parts changes how our own programs run.
	Parts map[Part]PartOptions

	// KarmadaArgs are added to the arguments of Karmada's programs, by the names
	// of their processes, such as "karmada-scheduler". They win over those of the
	// stack.
	KarmadaArgs map[string][]string

	// ClockFactor is how much faster the cloud's clock runs; 60 if zero.
	ClockFactor float64
}

// A Member is a self-built cluster.
type Member struct {
	Name string

	// Nodes is how many equal nodes the cluster has.
	Nodes int

	// Node is what each of them is like. Its name is made from the member's.
	Node kube.Node

	// Idle clusters have an API server and nodes, and nothing that makes or runs
	// pods. They cost little, where only decisions count. Their nodes are what
	// Node says of them, its conditions included.
	Idle bool
}

// NewMember returns a member with equal nodes.
func NewMember(name string, nodes int, cpu, memory, pods string) (Member, error) {
	capacity := corev1.ResourceList{}
	for k, v := range map[corev1.ResourceName]string{corev1.ResourceCPU: cpu, corev1.ResourceMemory: memory, corev1.ResourcePods: pods} {
		q, err := resource.ParseQuantity(v)
		if err != nil {
			return Member{}, fmt.Errorf("cannot parse %s of the nodes of %s: %w", k, name, err)
		}
		capacity[k] = q
	}
	return Member{Name: name, Nodes: nodes, Node: kube.Node{Capacity: capacity}}, nil
}

// DefaultMembers are two clusters of four nodes of 8 CPU and 32 GiB.
func DefaultMembers() []Member {
	capacity := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("8"),
		corev1.ResourceMemory: resource.MustParse("32Gi"),
		corev1.ResourcePods:   resource.MustParse("110"),
	}
	return []Member{
		{Name: "idc-a", Nodes: 4, Node: kube.Node{Capacity: capacity}},
		{Name: "idc-b", Nodes: 4, Node: kube.Node{Capacity: capacity}},
	}
}

// nodes returns the member's nodes.
func (m Member) nodes() []kube.Node {
	out := make([]kube.Node, m.Nodes)
	for i := range out {
		out[i] = m.Node
		out[i].Name = fmt.Sprintf("%s-%d", m.Name, i)
		out[i].Labels = maps.Clone(m.Node.Labels)
	}
	return out
}

// A Part is one of our own programs.
type Part string

// Our own programs. Each is built from its package of the checkout when the
// stack starts, and left out while the checkout has no such package.
//
//   - Provider gets KUBECONFIG of the host plane in its environment,
//     --metrics-bind-address and --health-probe-bind-address (which must answer
//     /readyz).
//   - Function gets --address, --tls-server-certs-dir (ca.crt, tls.crt, tls.key)
//     and --metrics-address.
//   - Fleet gets --kubeconfig of the Karmada API, --metrics-bind-address,
//     --health-probe-bind-address (which must answer /readyz), and
//     --estimator-address and --estimator-target, by which it is the estimator of
//     karmada-scheduler.
//   - CloudSim gets --ack-address, --tke-address, --admin-address, --dir (its own
//     folder), --etcd, --binaries (a folder for binaries.Open), --clock-factor
//     and --config (a file with the accounts that Cloud returns).
const (
	Provider Part = "provider"
	Function Part = "function"
	Fleet    Part = "fleet"
	CloudSim Part = "cloudsim"
)

// PartOptions change how one of our programs runs.
type PartOptions struct {
	// Disabled leaves the program out.
	Disabled bool

	// Args are added to those of the stack, none of which may be repeated.
	Args []string

	// Env is added to the environment, as NAME=VALUE.
	Env []string
}

// Hurried returns arguments with which a part waits as much shorter as the
// simulated clouds are faster: what is waited for in their time passes sixty
// times as fast.
func Hurried(p Part) []string {
	if p != Provider {
		return nil
	}
	return []string{"--poll-in-progress=200ms", "--list-lag=500ms", "--price-interval=30s", "--stock-interval=10s", "--sweep-interval=10s", "--leak-grace=20s"}
}

// packagePath is the folder of the part's main package in the checkout.
func (p Part) packagePath() string {
	if p == CloudSim {
		return filepath.Join("test", "cloudsim")
	}
	return filepath.Join("cmd", string(p))
}

func (o Options) members() []Member {
	if o.Members == nil {
		return DefaultMembers()
	}
	return o.Members
}

// wanted says whether the planes that were asked for need a part.
func (o Options) wanted(p Part) bool {
	switch {
	case o.Parts[p].Disabled:
		return false
	case p == CloudSim:
		return !o.WithoutCloud
	case p == Fleet:
		return !o.WithoutKarmada
	default:
		return !o.WithoutHost && !o.WithoutPackages
	}
}

func (o Options) clockFactor() float64 {
	if o.ClockFactor == 0 {
		return 60
	}
	return o.ClockFactor
}
