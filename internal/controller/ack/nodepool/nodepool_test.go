package nodepool

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/ack"
	ackfake "regionpool.io/provider-regionpool/internal/clients/ack/fake"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	ackcontroller "regionpool.io/provider-regionpool/internal/controller/ack"
	"regionpool.io/provider-regionpool/internal/controller/elastic/nodepool"
)

func newDriver(api *ackfake.API, ms ...func(*v1alpha1.NodePool)) *driver {
	cr := &v1alpha1.NodePool{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "p", UID: "0123456789abcdef"},
		Spec:       v1alpha1.NodePoolSpec{ForProvider: v1alpha1.NodePoolParameters{InstanceTypes: []string{"ecs.g7.large"}, Max: 10}},
	}
	for _, m := range ms {
		m(cr)
	}
	return &driver{
		API: ackcontroller.API{API: api}, cr: cr,
		cluster: &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{ForProvider: v1alpha1.ClusterParameters{VSwitchIDs: []string{"vsw-1"}}}},
	}
}

func TestCreate(t *testing.T) {
	ours := map[string]string{elasticv1alpha1.TagOwner: "0123456789abcdef"}
	cases := map[string]struct {
		reason string
		cr     func(*v1alpha1.NodePool)
		want   ack.NodePoolInput
	}{
		"Default": {
			reason: "The pool comes with its nodes, in the vSwitches of its cluster.", cr: func(*v1alpha1.NodePool) {},
			want: ack.NodePoolInput{Name: "rp-01234567", InstanceTypes: []string{"ecs.g7.large"}, VSwitchIDs: []string{"vsw-1"}, DesiredSize: 4, Tags: ours},
		},
		"Spot": {
			reason: "Spot machines are rented at the price of the market.",
			cr: func(cr *v1alpha1.NodePool) {
				cr.Spec.ForProvider.CapacityType, cr.Spec.ForProvider.VSwitchIDs = elasticv1alpha1.CapacitySpot, []string{"vsw-2"}
			},
			want: ack.NodePoolInput{Name: "rp-01234567", InstanceTypes: []string{"ecs.g7.large"}, Spot: true, VSwitchIDs: []string{"vsw-2"}, DesiredSize: 4, Tags: ours},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got ack.NodePoolInput
			d := newDriver(&ackfake.API{MockCreateNodePool: func(_ string, in ack.NodePoolInput) (ack.Created, error) {
				got = in
				return ack.Created{ID: "np1", TaskID: "T-1"}, nil
			}}, tc.cr)
			id, task, err := d.Create(context.Background(), "c1", 4)
			if err != nil || id != "np1" || task != "T-1" {
				t.Errorf("\nReason: %s\nCreate(...): %s, %s, %v", tc.reason, id, task, err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\nReason: %s\nCreate(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestGet(t *testing.T) {
	fails := func(class cloud.Class, code string) func(string, string) (*ack.NodePool, error) {
		return func(string, string) (*ack.NodePool, error) {
			return nil, &cloud.Error{Class: class, Code: code, Status: 404}
		}
	}
	type want struct {
		presence nodepool.Presence
		differs  bool
		class    cloud.Class
	}
	cases := map[string]struct {
		reason string
		get    func(string, string) (*ack.NodePool, error)
		want   want
	}{
		"Absent":        {reason: "By its own code.", get: fails(cloud.Gone, ack.CodeNodePoolNotFound), want: want{presence: nodepool.Absent}},
		"ClusterAbsent": {reason: "By the code of the cluster.", get: fails(cloud.Gone, ack.CodeClusterNotFound), want: want{presence: nodepool.ClusterAbsent}},
		"Unknown":       {reason: "Not by a status alone.", get: fails(cloud.Unknown, ""), want: want{class: cloud.Unknown}},
		"Differs": {reason: "The order of instance types matters.", get: func(string, string) (*ack.NodePool, error) {
			return &ack.NodePool{ID: "np1", State: "active", InstanceTypes: []string{"ecs.c7.large"}}, nil
		}, want: want{differs: true}},
		"Same": {reason: "Labels and tags of ACK's own are no difference.", get: func(string, string) (*ack.NodePool, error) {
			return &ack.NodePool{
				ID: "np1", State: "active", InstanceTypes: []string{"ecs.g7.large"}, Labels: map[string]string{"ack": "x"},
				Tags: map[string]string{elasticv1alpha1.TagOwner: "0123456789abcdef", "ack": "x"},
			}, nil
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s, presence, err := newDriver(&ackfake.API{MockGetNodePool: tc.get}).Get(context.Background(), "c1", "np1")
			got := want{presence: presence, class: cloud.ClassOf(err)}
			if s != nil {
				got.differs = s.Differs
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("\nReason: %s\nGet(...): %v, -want, +got:\n%s", tc.reason, err, diff)
			}
		})
	}
}

func TestShortage(t *testing.T) {
	err := &cloud.Error{Class: cloud.OutOfStock, Operation: "Scale", Code: "OperationDenied.NoStock", Message: "the requested resource ecs.g7.xlarge is sold out in zone cn-hangzhou-b"}
	want := elasticv1alpha1.Shortage{InstanceType: "ecs.g7.xlarge", Zone: "cn-hangzhou-b"}
	if diff := cmp.Diff(want, newDriver(&ackfake.API{}).Shortage(err)); diff != "" {
		t.Errorf("\nReason: what the cloud names is written down\nShortage(...): -want, +got:\n%s", diff)
	}
}
