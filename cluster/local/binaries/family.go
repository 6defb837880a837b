package binaries

// A family is a set of programs built from one tool module.
type family struct {
	// name of the family and of its folder under cluster/local/tools.
	name string

	// pkg is what is built: the meta-package tool for the tool directives of
	// go.mod, or the module's own main package.
	pkg string

	// programs the build must yield.
	programs []string

	// tags are the build tags with which the programs are released.
	tags []string

	// stamps are link-time variables: programs built outside their own release
	// process do not know their version otherwise.
	stamps map[string]string

	// data are files of the modules that a running stack needs.
	data []datum
}

// A datum is a file or folder of a module, copied next to the programs so that
// a warm start needs neither the module cache nor the go command.
type datum struct {
	module string
	path   string
	name   string
}

// Programs and data the stack uses. Data is named by the folder or file it
// becomes.
const (
	Etcd                     = "etcd"
	KubeAPIServer            = "kube-apiserver"
	KubeControllerManager    = "kube-controller-manager"
	KubeScheduler            = "kube-scheduler"
	Kubectl                  = "kubectl"
	Crossplane               = "crossplane"
	Kwok                     = "kwok"
	KarmadaAggregated        = "aggregated-apiserver"
	KarmadaControllerManager = "controller-manager"
	KarmadaScheduler         = "scheduler"
	KarmadaEstimator         = "scheduler-estimator"
	KarmadaWebhook           = "webhook"

	CrossplaneCRDs  = "crossplane-crds"
	KarmadaCRDs     = "karmada-crds"
	KarmadaWebhooks = "karmada-webhooks.yaml"
	KarmadaRoles    = "karmada-roles.yaml"
	KwokStages      = "kwok-stages"
)

const (
	karmadaModule    = "github.com/karmada-io/karmada"
	crossplaneModule = "github.com/crossplane/crossplane/v2"
	kwokModule       = "sigs.k8s.io/kwok"
)

// families in the order they are built: what is quick and needed first, first.
func families() []family {
	return []family{
		{
			name:     "etcd",
			pkg:      ".",
			programs: []string{Etcd},
		},
		{
			name:     "kubernetes",
			pkg:      "tool",
			programs: []string{KubeAPIServer, KubeControllerManager, KubeScheduler, Kubectl},
			stamps: map[string]string{
				"k8s.io/component-base/version.gitVersion":   "v1.35.3",
				"k8s.io/component-base/version.gitMajor":     "1",
				"k8s.io/component-base/version.gitMinor":     "35",
				"k8s.io/component-base/version.gitTreeState": "clean",
				"k8s.io/client-go/pkg/version.gitVersion":    "v1.35.3",
			},
		},
		{
			name:     "kwok",
			pkg:      "tool",
			programs: []string{Kwok},
			data: []datum{
				{module: kwokModule, path: "kustomize/stage/node/fast/node-initialize.yaml", name: KwokStages + "/node-initialize.yaml"},
				{module: kwokModule, path: "kustomize/stage/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml", name: KwokStages + "/node-heartbeat-with-lease.yaml"},
				{module: kwokModule, path: "kustomize/stage/pod/fast/pod-ready.yaml", name: KwokStages + "/pod-ready.yaml"},
				{module: kwokModule, path: "kustomize/stage/pod/fast/pod-complete.yaml", name: KwokStages + "/pod-complete.yaml"},
				{module: kwokModule, path: "kustomize/stage/pod/fast/pod-delete.yaml", name: KwokStages + "/pod-delete.yaml"},
				{module: kwokModule, path: "kustomize/stage/volume/fast/pvc-provision.yaml", name: KwokStages + "/pvc-provision.yaml"},
				{module: kwokModule, path: "kustomize/stage/volume/fast/pvc-delete.yaml", name: KwokStages + "/pvc-delete.yaml"},
				{module: kwokModule, path: "kustomize/stage/volume/fast/pv-bind.yaml", name: KwokStages + "/pv-bind.yaml"},
				{module: kwokModule, path: "kustomize/stage/volume/fast/pv-delete.yaml", name: KwokStages + "/pv-delete.yaml"},
			},
		},
		{
			name:     "crossplane",
			pkg:      "tool",
			programs: []string{Crossplane},
			stamps:   map[string]string{"github.com/crossplane/crossplane-runtime/v2/pkg/version.version": "v2.3.4"},
			data:     []datum{{module: crossplaneModule, path: "cluster/crds", name: CrossplaneCRDs}},
		},
		{
			name:     "karmada",
			pkg:      "tool",
			programs: []string{KarmadaAggregated, KarmadaControllerManager, KarmadaScheduler, KarmadaEstimator, KarmadaWebhook},
			// Without it the types of Kubernetes are no protobuf messages since
			// 1.35, and karmada-scheduler ends when it first asks an estimator
			// (hack/build.sh of Karmada).
			tags:   []string{"kubernetes_protomessage_one_more_release"},
			stamps: map[string]string{"github.com/karmada-io/karmada/pkg/version.gitVersion": "v1.18.0"},
			data: []datum{
				{module: karmadaModule, path: "charts/karmada/_crds", name: KarmadaCRDs},
				{module: karmadaModule, path: "artifacts/deploy/webhook-configuration.yaml", name: KarmadaWebhooks},
				{module: karmadaModule, path: "artifacts/deploy/admin-clusterrole-aggregation.yaml", name: KarmadaRoles},
			},
		},
	}
}
