package exact

import (
	"fmt"
	"math/rand/v2"
	"slices"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"
)

// A Family is a kind of rule that scenarios are made of.
type Family string

// The families. A scenario has a first one, and mostly some others.
const (
	Resources    Family = "resources"
	Extended     Family = "extended resources"
	Init         Family = "init containers"
	Sidecars     Family = "sidecars"
	Overhead     Family = "overhead of a runtime class"
	Taints       Family = "taints"
	Cordoned     Family = "cordoned nodes"
	NodeAffinity Family = "node affinity"
	Anti         Family = "pod anti-affinity"
	Affinity     Family = "pod affinity"
	Spread       Family = "topology spread, hard"
	SoftSpread   Family = "topology spread, soft"
	HostPorts    Family = "host ports"
	Priority     Family = "priority"
	Nominated    Family = "nominated pods"
	Profiles     Family = "scheduler profiles"
	LimitRange   Family = "limit range"
	Gates        Family = "scheduling gates"
	Volumes      Family = "volumes by zone"
	Attach       Family = "attach limits"
	OwnDevices   Family = "devices of each pod"
	SharedDevice Family = "devices that pods share"
)

// Families in the order of reports. All but the gates, and those that need a
// world of their own, are mixed with each other in most scenarios.
var Families = []Family{
	Resources, Extended, Init, Sidecars, Overhead, Taints, Cordoned, NodeAffinity, Anti, Affinity, Spread, SoftSpread, HostPorts,
	Priority, Nominated, Profiles, LimitRange, Gates, Volumes, Attach, OwnDevices, SharedDevice,
}

// first are the families that scenarios start from, each as often as it is
// here.
var first = []Family{
	Resources, Extended, Init, Sidecars, Overhead, Taints, Cordoned, NodeAffinity, Anti, Anti, Affinity, Affinity, Spread, Spread, Spread, SoftSpread,
	HostPorts, Priority, Profiles, LimitRange,
}

// BatchesPerWorld is the number of scenarios that share a world: each finds
// there what those before it left.
const BatchesPerWorld = 3

const (
	rackLabel   = "rack"
	worldLabel  = "world"
	gpu         = corev1.ResourceName("example.org/gpu")
	fence       = "fence"
	replicasMax = 24
)

var (
	apps = []string{"web", "db", "cache"}
	keys = []string{corev1.LabelTopologyZone, corev1.LabelHostname, rackLabel}
)

// A World is what batches meet.
type World struct {
	Seed     uint64
	Nodes    []*corev1.Node
	Pods     []*corev1.Pod
	Volumes  []*corev1.PersistentVolume
	Claims   []*corev1.PersistentVolumeClaim
	CSINodes []*storagev1.CSINode
	Slices   []*resourcev1.ResourceSlice
	// Preemptors come after all else, and evict Pods. Those that are promised no
	// node go again before the batches come.
	Preemptors []*corev1.Pod
	Batches    []Batch
}

// A Batch is a number of identical pods.
type Batch struct {
	Name      string
	Families  []Family
	Namespace string
	Template  corev1.PodTemplateSpec
	Replicas  int
	// What the pods take their devices from.
	ClaimTemplate *resourcev1.ResourceClaimTemplate
	Claim         *resourcev1.ResourceClaim
	// Ordered is true if the number of pods that find a place can depend on
	// which of several equally good nodes an earlier one took.
	Ordered bool
	// Changes happen to nodes before the batch comes. Pods stay where they
	// are, also on a node that goes.
	Changes []Change
}

// A Change of a node: it is replaced, or goes if there is nothing to replace it
// by.
type Change struct {
	Name string
	By   *corev1.Node
}

// Has reports whether the batch is of a family.
func (b *Batch) Has(f Family) bool { return slices.Contains(b.Families, f) }

// late reports whether pods of the batch wait for claims that controllers make
// or bind, or for others to be evicted.
func (b *Batch) late() bool {
	return b.Template.Spec.PriorityClassName == classHigh || b.Has(Volumes) || b.Has(Attach) || b.Has(OwnDevices) || b.Has(SharedDevice)
}

// dice are what worlds are made with.
type dice struct{ *rand.Rand }

func (d dice) one(in int) bool             { return d.IntN(in) == 0 }
func (d dice) of(s ...string) string       { return s[d.IntN(len(s))] }
func (d dice) between(lo, hi int) int      { return lo + d.IntN(hi-lo+1) }
func (d dice) millis(lo, hi int) string    { return fmt.Sprintf("%dm", d.between(lo, hi)) }
func (d dice) mebibytes(lo, hi int) string { return fmt.Sprintf("%dMi", d.between(lo, hi)) }

// special are the families that need a world of their own, in the order in which
// seeds have them.
var special = map[uint64][]Family{3: {OwnDevices, SharedDevice}, 5: {Nominated}, 7: {Volumes}, 11: {OwnDevices}, 13: {Nominated}, 15: {Attach}}

// NewWorld returns the world of a seed. In six of sixteen there is what a special
// family is about.
func NewWorld(seed uint64) *World {
	d := dice{rand.New(rand.NewPCG(seed, 42))}
	w := &World{Seed: seed}
	about := special[seed%16]
	// Where pods of low priority are, batches do not preempt.
	low := d.one(2) || slices.Contains(about, Nominated)
	for i := range d.between(3, 12) {
		w.Nodes = append(w.Nodes, d.node(fmt.Sprintf("w%d-n%02d", seed, i)))
	}
	for i := range d.IntN(16) {
		b := d.batch(nil)
		p := &corev1.Pod{ObjectMeta: b.Template.ObjectMeta, Spec: b.Template.Spec}
		p.Namespace, p.Name = d.of(namespaceWork, namespaceWork, namespaceOther), fmt.Sprintf("w%d-p%02d", seed, i)
		p.Spec.NodeName = w.Nodes[d.IntN(len(w.Nodes))].Name
		p.Spec.SchedulingGates = nil
		if low && d.one(3) {
			p.Spec.PriorityClassName = classLow
		}
		w.Pods = append(w.Pods, p)
	}
	for _, f := range about {
		switch f {
		case Volumes, Attach:
			d.volumes(w, f)
		case OwnDevices:
			d.devices(w)
		case Nominated:
			d.nominated(w)
		}
	}
	for i := range BatchesPerWorld {
		f := first[d.IntN(len(first))]
		if d.one(40) {
			f = Gates
		}
		if len(about) > 0 {
			f = about[d.IntN(len(about))]
		}
		fs := []Family{f}
		for range d.IntN(4) {
			fs = append(fs, first[d.IntN(len(first))])
		}
		if low && f != Nominated {
			fs = append(fs, Priority)
		}
		slices.Sort(fs)
		b := d.batch(slices.Compact(fs))
		b.Name = fmt.Sprintf("w%d-b%d", seed, i)
		if f == Nominated {
			b.Template.Spec.PriorityClassName = d.of(classNever, classEqual, classTop)
		}
		d.claims(&b)
		if i > 0 && len(about) == 0 && d.one(2) {
			b.Changes = d.changes(w)
		}
		w.Batches = append(w.Batches, b)
	}
	return w
}

func (d dice) node(name string) *corev1.Node {
	zone := d.IntN(3)
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		corev1.LabelHostname: name, corev1.LabelTopologyZone: fmt.Sprintf("z%d", zone), rackLabel: fmt.Sprintf("z%d-r%d", zone, d.IntN(2)),
		"disk": d.of("ssd", "hdd"), "cores": fmt.Sprint(d.between(1, 5)),
	}}}
	if d.one(10) {
		delete(n.Labels, keys[d.IntN(len(keys))])
	}
	n.Status.Capacity = list("cpu", d.millis(1000, 5000), "memory", d.mebibytes(1500, 9000), "pods", fmt.Sprint(d.between(3, 20)), "ephemeral-storage", fmt.Sprintf("%dGi", d.between(2, 40)))
	if d.one(3) {
		n.Status.Capacity[gpu] = resource.MustParse(fmt.Sprint(d.between(1, 4)))
	}
	if d.one(6) {
		n.Status.Capacity[corev1.ResourceHugePagesPrefix+"2Mi"] = resource.MustParse(d.of("64Mi", "256Mi"))
	}
	n.Status.Allocatable = n.Status.Capacity
	for _, key := range []string{"dedicated", "old"} {
		if d.one(5) {
			n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key, Value: d.of("a", "b"), Effect: corev1.TaintEffect(d.of(string(corev1.TaintEffectNoSchedule), string(corev1.TaintEffectNoExecute), string(corev1.TaintEffectPreferNoSchedule)))})
		}
	}
	n.Spec.Unschedulable = d.one(10)
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	if d.one(4) {
		n.Status.Images = []corev1.ContainerImage{{Names: []string{"example.org/web:1"}, SizeBytes: 300 << 20}}
	}
	return n
}

// changes are those of one or two nodes.
func (d dice) changes(w *World) []Change {
	var out []Change
	for _, i := range d.Perm(len(w.Nodes))[:d.between(1, 2)] {
		c := Change{Name: w.Nodes[i].Name}
		if !d.one(4) {
			c.By = d.node(c.Name)
		}
		out = append(out, c)
	}
	return out
}

// volumes gives a world volumes, of which two are claimed already. They are in
// zones, or nodes have a low limit of how many they can attach.
func (d dice) volumes(w *World, f Family) {
	limit := 50
	if f == Attach {
		limit = 4
	}
	volume := func(name string, mode corev1.PersistentVolumeAccessMode) *corev1.PersistentVolume {
		v := &corev1.PersistentVolume{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: corev1.PersistentVolumeSpec{
				Capacity: list("storage", "1Gi"), AccessModes: []corev1.PersistentVolumeAccessMode{mode},
				PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain, StorageClassName: classZonal,
				PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: driver, VolumeHandle: name}},
			},
		}
		if f == Volumes {
			v.Spec.NodeAffinity = &corev1.VolumeNodeAffinity{Required: inZone(fmt.Sprintf("z%d", d.IntN(3)))}
		}
		return v
	}
	for i := range d.between(2, 14) {
		w.Volumes = append(w.Volumes, volume(fmt.Sprintf("w%d-v%02d", w.Seed, i), corev1.ReadWriteOnce))
	}
	for _, c := range []struct {
		name string
		mode corev1.PersistentVolumeAccessMode
	}{{claimShared, corev1.ReadWriteOnce}, {claimSingle, corev1.ReadWriteOncePod}} {
		name, mode := c.name, c.mode
		v := volume(fmt.Sprintf("w%d-%s", w.Seed, name), mode)
		v.Spec.ClaimRef = &corev1.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: namespaceWork, Name: name}
		w.Volumes = append(w.Volumes, v)
		w.Claims = append(w.Claims, &corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespaceWork, Name: name},
			Spec: corev1.PersistentVolumeClaimSpec{
				AccessModes: v.Spec.AccessModes, StorageClassName: ptr.To(classZonal), VolumeName: v.Name,
				Resources: corev1.VolumeResourceRequirements{Requests: list("storage", "1Gi")},
			},
		})
	}
	for _, n := range w.Nodes {
		w.CSINodes = append(w.CSINodes, &storagev1.CSINode{
			ObjectMeta: metav1.ObjectMeta{Name: n.Name},
			Spec:       storagev1.CSINodeSpec{Drivers: []storagev1.CSINodeDriver{{Name: driver, NodeID: n.Name, Allocatable: &storagev1.VolumeNodeResources{Count: ptr.To(int32(d.between(1, limit)))}}}},
		})
	}
}

// batch returns pods of the given families; of a few at random if none are
// given.
func (d dice) batch(fs []Family) Batch {
	if fs == nil {
		for range d.between(1, 2) {
			fs = append(fs, first[d.IntN(len(first))])
		}
	}
	b := Batch{Families: fs, Namespace: d.of(namespaceWork, namespaceWork, namespaceOther), Replicas: d.between(1, replicasMax)}
	b.Template.Labels = map[string]string{"app": d.of(apps...), "rev": d.of("r0", "r1")}
	b.Template.Spec.TerminationGracePeriodSeconds = ptr.To(int64(0))
	b.Template.Spec.Containers = []corev1.Container{{Name: "c", Image: "example.org/web:1", Resources: corev1.ResourceRequirements{
		Requests: list("cpu", d.millis(50, 400), "memory", d.mebibytes(32, 400)),
	}}}
	for _, f := range fs {
		d.apply(f, &b)
	}
	b.Ordered = ordered(&b)
	return b
}

// ordered reports whether the number placed can depend on ties. Placing is
// free of that if what one pod takes from the others is the same wherever in a
// domain it goes: nodes fill up one by one, and at most one topology key ties
// nodes together. With two keys, or when the first pod decides where all others
// must follow, it matters where a pod went.
func ordered(b *Batch) bool {
	if a := b.Template.Spec.Affinity; a != nil && a.PodAffinity != nil {
		for _, t := range a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution {
			if b.selects(t.LabelSelector) {
				return true
			}
		}
	}
	return len(coupled(b)) > 1
}

// selects reports whether a selector matches the pods of the batch.
func (b *Batch) selects(s *metav1.LabelSelector) bool {
	sel, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && sel.Matches(labels.Set(b.Template.Labels))
}

// coupled returns the topology keys that tie the pods of a batch to each other.
func coupled(b *Batch) map[string]bool {
	out := map[string]bool{}
	spec := &b.Template.Spec
	for _, c := range spec.TopologySpreadConstraints {
		if c.WhenUnsatisfiable == corev1.DoNotSchedule && b.selects(c.LabelSelector) {
			out[c.TopologyKey] = true
		}
	}
	if spec.SchedulerName == profileSpread && len(spec.TopologySpreadConstraints) == 0 {
		out[profileSpreadKey] = true
	}
	if ownsVolumes(b) {
		out[corev1.LabelTopologyZone] = true
	}
	if a := spec.Affinity; a != nil && a.PodAntiAffinity != nil {
		for _, t := range a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution {
			// One pod a node is only a smaller node.
			if b.selects(t.LabelSelector) && t.TopologyKey != corev1.LabelHostname {
				out[t.TopologyKey] = true
			}
		}
	}
	return out
}

// ownsVolumes reports whether every pod of the batch takes a volume for itself.
func ownsVolumes(b *Batch) bool {
	return slices.ContainsFunc(b.Template.Spec.Volumes, func(v corev1.Volume) bool { return v.Ephemeral != nil })
}

// inZone selects the nodes of a zone.
func inZone(zone string) *corev1.NodeSelector {
	return &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
		MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: []string{zone}}},
	}}}
}

// list returns a resource list of names and quantities in turn.
func list(s ...string) corev1.ResourceList {
	l := corev1.ResourceList{}
	for i := 0; i+1 < len(s); i += 2 {
		l[corev1.ResourceName(s[i])] = resource.MustParse(s[i+1])
	}
	return l
}
