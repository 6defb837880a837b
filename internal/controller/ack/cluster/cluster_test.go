package cluster

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/ack"
	ackfake "regionpool.io/provider-regionpool/internal/clients/ack/fake"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	ackcontroller "regionpool.io/provider-regionpool/internal/controller/ack"
	"regionpool.io/provider-regionpool/internal/controller/elastic"
)

func newCluster(ms ...func(*v1alpha1.Cluster)) *v1alpha1.Cluster {
	cidr := "10.0.0.0/16"
	cr := &v1alpha1.Cluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "c", UID: "0123456789abcdef"},
		Spec: v1alpha1.ClusterSpec{ForProvider: v1alpha1.ClusterParameters{
			Region: "cn-test", VPCID: "vpc-1", VSwitchIDs: []string{"vsw-1"}, ContainerCIDR: &cidr,
		}},
	}
	for _, m := range ms {
		m(cr)
	}
	return cr
}

func virtual(cr *v1alpha1.Cluster) {
	cr.Spec.ForProvider.VirtualNodes = &v1alpha1.VirtualNodes{VSwitchIDs: []string{"vsw-2", "vsw-3"}}
}

func TestInput(t *testing.T) {
	needs := []ack.Addon{{Name: "flannel"}, {Name: "csi-plugin"}, {Name: "csi-provisioner"}, {Name: "nginx-ingress-controller", Disabled: true}}
	cases := map[string]struct {
		reason string
		cr     *v1alpha1.Cluster
		want   []ack.Addon
	}{
		"Needs": {reason: "What ACK needs is added, what it would charge for is left out.", cr: newCluster(), want: needs},
		"Named": {
			reason: "What is named is taken as it is.",
			cr: newCluster(func(cr *v1alpha1.Cluster) {
				cr.Spec.ForProvider.Addons = []v1alpha1.Addon{{Name: "csi-plugin", Config: "{}"}}
			}),
			want: []ack.Addon{{Name: "csi-plugin", Config: "{}"}, {Name: "flannel"}, {Name: "csi-provisioner"}, {Name: "nginx-ingress-controller", Disabled: true}},
		},
		"Virtual": {
			reason: "Virtual nodes are an add-on, with the vSwitches of their pods.", cr: newCluster(virtual),
			want: append(needs[:4:4], ack.Addon{Name: "ack-virtual-node", Config: `{"vSwitchIds":"vsw-2,vsw-3"}`}),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, input(tc.cr).Addons); diff != "" {
				t.Errorf("\nReason: %s\ninput(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestGet(t *testing.T) {
	gone := func(code string) func(string) (*ack.Cluster, error) {
		return func(string) (*ack.Cluster, error) {
			return nil, &cloud.Error{Class: cloud.Gone, Operation: "DescribeClusterDetail", Code: code, Status: 404}
		}
	}
	state := func(s string) func(string) (*ack.Cluster, error) {
		return func(id string) (*ack.Cluster, error) { return &ack.Cluster{ID: id, State: s}, nil }
	}
	none := func(string) (*ack.AddonInstance, error) {
		return nil, &cloud.Error{Class: cloud.Gone, Code: ack.CodeAddonNotFound, Status: 404}
	}
	type want struct {
		exists  bool
		phase   elastic.Phase
		differs string
		class   cloud.Class
		calls   []string
	}
	cases := map[string]struct {
		reason string
		cr     *v1alpha1.Cluster
		api    *ackfake.API
		want   want
	}{
		"Running":   {reason: "Nothing differs.", cr: newCluster(), api: &ackfake.API{MockGetCluster: state("running"), MockGetAddon: none}, want: want{exists: true, phase: elastic.PhaseRunning}},
		"Upgrading": {reason: "A cluster works while it is being upgraded.", cr: newCluster(virtual), api: &ackfake.API{MockGetCluster: state("upgrading"), MockGetAddon: none}, want: want{exists: true, phase: elastic.PhaseChanging}},
		"Unheard":   {reason: "A state that nobody has heard of may mean anything.", cr: newCluster(), api: &ackfake.API{MockGetCluster: state("hibernated")}, want: want{exists: true, phase: elastic.PhaseOther}},
		"Virtual":   {reason: "Virtual nodes that were added to the spec later are installed later.", cr: newCluster(virtual), api: &ackfake.API{MockGetCluster: state("running"), MockGetAddon: none}, want: want{exists: true, phase: elastic.PhaseRunning, differs: "virtualNodes", calls: []string{"InstallAddon ack-virtual-node"}}},
		"Installed": {reason: "Once.", cr: newCluster(virtual), api: &ackfake.API{MockGetCluster: state("running")}, want: want{exists: true, phase: elastic.PhaseRunning}},
		"Gone":      {reason: "It does not exist if the code for this says so.", cr: newCluster(), api: &ackfake.API{MockGetCluster: gone(ack.CodeClusterNotFound)}},
		"Other":     {reason: "Another thing that does not exist is not the cluster.", cr: newCluster(), api: &ackfake.API{MockGetCluster: gone(ack.CodeTaskNotFound)}, want: want{class: cloud.Gone}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := &driver{API: ackcontroller.API{API: tc.api}, cr: tc.cr}
			s, err := d.Get(context.Background(), "c1")
			got := want{class: cloud.ClassOf(err)}
			if s != nil {
				got.exists, got.phase, got.differs = true, s.Phase, s.Differs
			}
			if got.differs != "" {
				_, _ = d.Change(context.Background(), s)
			}
			got.calls = tc.api.Calls
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("\nReason: %s\nGet(...): %v, -want, +got:\n%s", tc.reason, err, diff)
			}
		})
	}
}
