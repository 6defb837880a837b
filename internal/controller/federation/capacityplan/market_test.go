package capacityplan

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	xpmeta "github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	ackv1alpha1 "regionpool.io/provider-regionpool/apis/ack/v1alpha1"
	"regionpool.io/provider-regionpool/apis/federation/v1alpha1"
	fleetv1alpha1 "regionpool.io/provider-regionpool/apis/fleet/v1alpha1"
	tkev1alpha1 "regionpool.io/provider-regionpool/apis/tke/v1alpha1"
	elasticv1alpha1 "regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/market"
)

var start = metav1.NewTime(time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC))

// rents is a plan with an elastic member of each cloud.
func rents(p *v1alpha1.CapacityPlan) {
	s := &p.Spec.ForProvider
	s.Members = append(s.Members, fleetv1alpha1.PlanMember{Name: "ack", Tier: 1, Elastic: true}, fleetv1alpha1.PlanMember{Name: "tke", Tier: 1, Elastic: true})
	s.Offerings = []fleetv1alpha1.Offering{
		{Name: "ack-general", Member: "ack", InstanceTypes: []string{"small", "big"}},
		{Name: "tke-general", Member: "tke", InstanceTypes: []string{"S5"}},
	}
	s.Market.Offerings = []fleetv1alpha1.OfferingMarket{{Name: "ack-general", Unavailable: true}}
}

func from(offering string) *elasticv1alpha1.SizeFrom {
	return &elasticv1alpha1.SizeFrom{CapacityPlanRef: corev1.LocalObjectReference{Name: "shanghai"}, Offering: offering}
}

func ackPool(offering string, nodes, desired int32, shortages ...elasticv1alpha1.Shortage) *ackv1alpha1.NodePool {
	np := &ackv1alpha1.NodePool{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: "shanghai-" + offering}}
	np.Spec.ForProvider.SizeFrom = from(offering)
	np.Spec.ForProvider.ClusterRef.Name = "a-cluster"
	np.Status.AtProvider = elasticv1alpha1.NodePoolObservation{Nodes: nodes, Desired: desired, Shortages: shortages}
	return np
}

func ackCluster(name, externalName string) *ackv1alpha1.Cluster {
	c := &ackv1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: name}}
	if externalName != "" {
		xpmeta.SetExternalName(c, externalName)
	}
	return c
}

func tkeMember(name, cluster string) *v1alpha1.Member {
	m := &v1alpha1.Member{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: "shanghai-" + name, Annotations: map[string]string{xpmeta.AnnotationKeyExternalName: name}}}
	m.Spec.ForProvider.Pool = pool
	m.Spec.ForProvider.ClusterRef = &v1alpha1.ClusterReference{APIVersion: "tke.regionpool.io/v1alpha1", Kind: "Cluster", Name: cluster}
	return m
}

// fakeMarket answers from a map.
type fakeMarket map[string]market.Answer

func (m fakeMarket) Ask(_ types.NamespacedName, o *fleetv1alpha1.Offering) market.Answer {
	a := m[o.Name]
	a.Market.Name = o.Name
	return *ptr.To(a)
}

func (m fakeMarket) OnChange(func(types.NamespacedName)) {}

func TestMarketOf(t *testing.T) {
	sold := elasticv1alpha1.Shortage{InstanceType: "small", Reason: "OutOfStock", Message: "no stock", Since: start}
	price := resource.MustParse("1.5")
	cases := map[string]struct {
		reason string
		market Market
		host   []client.Object
		want   fleetv1alpha1.Market
	}{
		"Nothing": {
			reason: "What a composition writes is ignored; without pools there are no numbers",
			want: fleetv1alpha1.Market{
				Offerings: []fleetv1alpha1.OfferingMarket{{Name: "ack-general"}, {Name: "tke-general"}},
				Members:   []fleetv1alpha1.MemberMarket{{Name: "ack"}, {Name: "tke"}},
			},
		},
		"Pools": {
			reason: "Pools of both clouds count, and a cluster is known by its pools, its Member or its name",
			host: []client.Object{
				ackPool("ack-general", 2, 3), ackCluster("a-cluster", "c1"),
				&tkev1alpha1.NodePool{
					ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: "t"},
					Spec:       tkev1alpha1.NodePoolSpec{ForProvider: tkev1alpha1.NodePoolParameters{SizeFrom: from("tke-general")}},
				},
				&tkev1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: "t-cluster"}, Status: tkev1alpha1.ClusterStatus{AtProvider: elasticv1alpha1.ClusterObservation{ID: "cls-1"}}},
				tkeMember("tke", "t-cluster"),
			},
			want: fleetv1alpha1.Market{
				Offerings: []fleetv1alpha1.OfferingMarket{
					{Name: "ack-general", Nodes: ptr.To[int32](2), Desired: ptr.To[int32](3)},
					{Name: "tke-general", Nodes: ptr.To[int32](0), Desired: ptr.To[int32](0)},
				},
				Members: []fleetv1alpha1.MemberMarket{{Name: "ack", Exists: true}, {Name: "tke", Exists: true}},
			},
		},
		"MayExist": {
			reason: "A cluster whose creation has an unknown outcome may exist",
			host: []client.Object{func() client.Object {
				c := ackCluster("shanghai-ack", "")
				xpmeta.SetExternalCreatePending(c, start.Time)
				return c
			}()},
			want: fleetv1alpha1.Market{
				Offerings: []fleetv1alpha1.OfferingMarket{{Name: "ack-general"}, {Name: "tke-general"}},
				Members:   []fleetv1alpha1.MemberMarket{{Name: "ack", Exists: true}, {Name: "tke"}},
			},
		},
		"PartlyShort": {
			reason: "Another type is left",
			market: fakeMarket{"ack-general": {Types: []string{"small", "big"}, Market: fleetv1alpha1.OfferingMarket{HourlyPrice: &price, PricedAt: &start}}},
			host:   []client.Object{ackPool("ack-general", 0, 3, sold)},
			want: fleetv1alpha1.Market{
				Offerings: []fleetv1alpha1.OfferingMarket{
					{Name: "ack-general", HourlyPrice: &price, PricedAt: &start, Shortages: []elasticv1alpha1.Shortage{sold}, Message: "small OutOfStock: no stock", Nodes: ptr.To[int32](0), Desired: ptr.To[int32](3)},
					{Name: "tke-general"},
				},
				Members: []fleetv1alpha1.MemberMarket{{Name: "ack"}, {Name: "tke"}},
			},
		},
		"AllShort": {
			reason: "What the pool met and what the feed says are added up",
			market: fakeMarket{"ack-general": {Types: []string{"small", "big"}, Market: fleetv1alpha1.OfferingMarket{
				Message: "big is sold out", Shortages: []elasticv1alpha1.Shortage{{InstanceType: "big", Reason: "OutOfStock", Since: start}},
			}}},
			host: []client.Object{ackPool("ack-general", 0, 3, sold)},
			want: fleetv1alpha1.Market{
				Offerings: []fleetv1alpha1.OfferingMarket{
					{
						Name: "ack-general", Unavailable: true, Message: "big is sold out; small OutOfStock: no stock",
						Shortages: []elasticv1alpha1.Shortage{{InstanceType: "big", Reason: "OutOfStock", Since: start}, sold}, Nodes: ptr.To[int32](0), Desired: ptr.To[int32](3),
					},
					{Name: "tke-general"},
				},
				Members: []fleetv1alpha1.MemberMarket{{Name: "ack"}, {Name: "tke"}},
			},
		},
		"Condition": {
			reason: "A pool that says no more than that it has no capacity is short of all",
			host: []client.Object{func() client.Object {
				np := ackPool("ack-general", 0, 3)
				np.SetConditions(xpv2.Condition{Type: elasticv1alpha1.TypeCapacityAvailable, Status: corev1.ConditionFalse, Reason: "Quota", Message: "node quota", LastTransitionTime: start})
				return np
			}()},
			want: fleetv1alpha1.Market{
				Offerings: []fleetv1alpha1.OfferingMarket{
					{Name: "ack-general", Unavailable: true, Message: "Quota: node quota", Shortages: []elasticv1alpha1.Shortage{{Reason: "Quota", Message: "node quota", Since: start}}, Nodes: ptr.To[int32](0), Desired: ptr.To[int32](3)},
					{Name: "tke-general"},
				},
				Members: []fleetv1alpha1.MemberMarket{{Name: "ack"}, {Name: "tke"}},
			},
		},
		"Reservation": {
			reason: "What a reservation brings is in the market of its pool",
			host: []client.Object{
				func() client.Object {
					r := &v1alpha1.CapacityReservation{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: "sale"}}
					r.Spec.ForProvider.Pool = pool
					r.Spec.ForProvider.Members = []fleetv1alpha1.PlanMember{{Name: "extra", Elastic: true}}
					r.Spec.ForProvider.Offerings = []fleetv1alpha1.Offering{{Name: "extra-general", Member: "extra"}, {Name: "ack-general", Member: "ack"}}
					return r
				}(),
				func() client.Object {
					r := &v1alpha1.CapacityReservation{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: "other"}}
					r.Spec.ForProvider.Pool = "platform-other"
					r.Spec.ForProvider.Offerings = []fleetv1alpha1.Offering{{Name: "foreign", Member: "extra"}}
					return r
				}(),
				func() client.Object { np := ackPool("extra-general", 1, 1); return np }(), ackCluster("a-cluster", "c1"),
			},
			want: fleetv1alpha1.Market{
				Offerings: []fleetv1alpha1.OfferingMarket{{Name: "ack-general"}, {Name: "tke-general"}, {Name: "extra-general", Nodes: ptr.To[int32](1), Desired: ptr.To[int32](1)}},
				Members:   []fleetv1alpha1.MemberMarket{{Name: "ack"}, {Name: "tke"}, {Name: "extra", Exists: true}},
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			e := newExternal(t, tc.host, interceptor.Funcs{})
			e.market = tc.market
			got, err := e.marketOf(context.Background(), plan(rents))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\nReason: %s\nmarketOf(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestSteady(t *testing.T) {
	key := types.NamespacedName{Name: "p"}
	mk := func(price string, at time.Duration, nodes, desired int32) fleetv1alpha1.Market {
		pt := metav1.NewTime(start.Add(at))
		return fleetv1alpha1.Market{Offerings: []fleetv1alpha1.OfferingMarket{{
			Name: "o", HourlyPrice: ptr.To(resource.MustParse(price)), PricedAt: &pt, Nodes: &nodes, Desired: &desired,
		}}}
	}
	pods := func(cpu string, at time.Duration) fleetv1alpha1.Market {
		pt := metav1.NewTime(start.Add(at))
		return fleetv1alpha1.Market{Offerings: []fleetv1alpha1.OfferingMarket{{
			Name: "v", CPUHour: ptr.To(resource.MustParse(cpu)), MemoryGiBHour: ptr.To(resource.MustParse("0.04")), PricedAt: &pt,
		}}}
	}
	cases := map[string]struct {
		reason   string
		was, now fleetv1alpha1.Market
		wrote    time.Duration // ago
		want     fleetv1alpha1.Market
		again    time.Duration
	}{
		"SamePrice":  {reason: "Its age alone is written once an hour", was: mk("1", 0, 1, 1), now: mk("1", 50*time.Minute, 1, 1), want: mk("1", 0, 1, 1)},
		"OldPrice":   {reason: "But once an hour", was: mk("1", 0, 1, 1), now: mk("1", time.Hour, 1, 1), want: mk("1", time.Hour, 1, 1)},
		"SmallMove":  {reason: "Less than one percent is noise", was: mk("1", 0, 1, 1), now: mk("1.009", 10*time.Minute, 1, 1), want: mk("1", 0, 1, 1)},
		"Move":       {reason: "One percent is not", was: mk("1", 0, 1, 1), now: mk("1.01", 10*time.Minute, 1, 1), want: mk("1.01", 10*time.Minute, 1, 1)},
		"PodPrice":   {reason: "The same holds for prices of pods", was: pods("0.35", 0), now: pods("0.351", 10*time.Minute), want: pods("0.35", 0)},
		"PodMove":    {reason: "If one moves both are written", was: pods("0.35", 0), now: pods("0.36", 10*time.Minute), want: pods("0.36", 10*time.Minute)},
		"Nodes":      {reason: "After a rest numbers of nodes are written at once", was: mk("1", 0, 1, 9), now: mk("1", 0, 2, 9), wrote: 3 * time.Second, want: mk("1", 0, 2, 9)},
		"NodesAgain": {reason: "Then they are gathered", was: mk("1", 0, 2, 9), now: mk("1", 0, 3, 9), wrote: time.Second, want: mk("1", 0, 2, 9), again: time.Second},
		"Desired":    {reason: "Other changes do not wait, and take the numbers along", was: mk("1", 0, 2, 9), now: mk("1", 0, 3, 5), wrote: time.Second, want: mk("1", 0, 3, 5)},
		"NewlyThere": {reason: "Nor does a pool that has just come", was: fleetv1alpha1.Market{}, now: mk("1", 0, 0, 0), wrote: time.Second, want: mk("1", 0, 0, 0)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			now := start.Time
			c := &connector{pace: &pace{now: func() time.Time { return now }}}
			c.pace.wrote(key)
			now = now.Add(tc.wrote)
			if tc.wrote == 0 {
				now = now.Add(time.Minute)
			}
			got, again := c.steady(key, tc.was, tc.now)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\nReason: %s\nsteady(...): -want, +got:\n%s", tc.reason, diff)
			}
			if again = max(again, 0); again != tc.again {
				t.Errorf("\nReason: %s\nsteady(...): want again after %s, got %s", tc.reason, tc.again, again)
			}
		})
	}
}

func TestOfferingsAvailable(t *testing.T) {
	cases := map[string]struct {
		reason string
		market fleetv1alpha1.Market
		status corev1.ConditionStatus
		want   string
	}{
		"Claim": {reason: "Without a feed the claim's prices count", market: fleetv1alpha1.Market{Offerings: []fleetv1alpha1.OfferingMarket{{Name: "a"}}}, status: corev1.ConditionTrue, want: "Prices are those of the claim"},
		"Some": {
			reason: "A line for each that has something to say, and the age of the oldest price",
			market: fleetv1alpha1.Market{Offerings: []fleetv1alpha1.OfferingMarket{
				{Name: "a", Unavailable: true, Message: "sold out", PricedAt: &start},
				{Name: "b", Message: "the price is not believed"},
				{Name: "c", PricedAt: ptr.To(metav1.NewTime(start.Add(time.Hour)))},
			}},
			status: corev1.ConditionFalse,
			want:   "a: sold out\nb: the price is not believed\nPrices are of 2026-01-02 03:00 UTC, and those of the claim where the cloud named none",
		},
		"None": {reason: "A plan that rents nothing says nothing", status: corev1.ConditionTrue},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := offeringsAvailable(tc.market)
			if diff := cmp.Diff(tc.want, got.Message); diff != "" || got.Status != tc.status {
				t.Errorf("\nReason: %s\nofferingsAvailable(...): %s, -want, +got:\n%s", tc.reason, got.Status, diff)
			}
		})
	}
}

// TestMarketDoesNotMakeUnready proves that a plan stays Ready while only its
// market moves.
func TestMarketDoesNotMakeUnready(t *testing.T) {
	ctx := context.Background()
	e := newExternal(t, []client.Object{ackPool("ack-general", 1, 1)}, interceptor.Funcs{})
	mg := plan(rents)
	if _, err := e.Observe(ctx, mg); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Create(ctx, mg); err != nil {
		t.Fatal(err)
	}
	got := &fleetv1alpha1.CapacityPlan{}
	if err := e.conn.Live.Get(ctx, types.NamespacedName{Name: pool}, got); err != nil {
		t.Fatal(err)
	}
	got.Status.ObservedGeneration = got.GetGeneration()
	if err := e.conn.Client.Update(ctx, got); err != nil {
		t.Fatal(err)
	}
	o, err := e.Observe(ctx, mg)
	if err != nil || !o.ResourceUpToDate || mg.GetCondition(xpv2.TypeReady).Status != corev1.ConditionTrue {
		t.Fatalf("\nReason: nothing has changed\nObserve(...): %+v, %v, %s", o, err, mg.GetCondition(xpv2.TypeReady).Message)
	}

	np := &ackv1alpha1.NodePool{}
	if err := e.kube.Get(ctx, types.NamespacedName{Namespace: "platform", Name: "shanghai-ack-general"}, np); err != nil {
		t.Fatal(err)
	}
	np.Status.AtProvider.Desired = 5
	if err := e.kinds.live.(client.Client).Update(ctx, np); err != nil {
		t.Fatal(err)
	}
	o, err = e.Observe(ctx, mg)
	if err != nil || o.ResourceUpToDate {
		t.Fatalf("\nReason: the desired size is written at once\nObserve(...): %+v, %v", o, err)
	}
	if _, err := e.Update(ctx, mg); err != nil {
		t.Fatal(err)
	}
	if err := e.conn.Live.Get(ctx, types.NamespacedName{Name: pool}, got); err != nil {
		t.Fatal(err)
	}
	if d := got.Spec.Market.Offerings[0].Desired; ptr.Deref(d, 0) != 5 {
		t.Errorf("\nReason: the twin has what the pool says\nUpdate(...): %+v", got.Spec.Market)
	}
	got.Generation++
	if err := e.conn.Client.Update(ctx, got); err != nil {
		t.Fatal(err)
	}
	if _, err = e.Observe(ctx, mg); err != nil || mg.GetCondition(xpv2.TypeReady).Status != corev1.ConditionTrue {
		t.Errorf("\nReason: a market that moves does not make a plan unready\nObserve(...): %v, %s", err, mg.GetCondition(xpv2.TypeReady).Message)
	}
	if m := mg.GetCondition(TypeOfferingsAvailable).Message; !strings.Contains(m, "Prices are") {
		t.Errorf("Observe(...): condition %s: %q", TypeOfferingsAvailable, m)
	}
}

func TestWatches(t *testing.T) {
	cases := map[string]struct {
		reason   string
		fn       func(was, now any) (string, bool)
		was, now any
		plan     string
		want     bool
	}{
		"Nodes":   {reason: "Numbers concern the plan that is followed", fn: poolChanged, was: ackPool("o", 1, 1), now: ackPool("o", 2, 1), plan: "shanghai", want: true},
		"Same":    {reason: "Other changes do not", fn: poolChanged, was: ackPool("o", 1, 1), now: ackPool("o", 1, 1), plan: "shanghai"},
		"New":     {reason: "A new pool does", fn: poolChanged, now: ackPool("o", 1, 1), plan: "shanghai", want: true},
		"Gone":    {reason: "One that is gone as well", fn: poolChanged, was: ackPool("o", 1, 1), plan: "shanghai", want: true},
		"Outside": {reason: "A pool of no plan does not", fn: poolChanged, now: &ackv1alpha1.NodePool{}},
		"Exists":  {reason: "A cluster that begins to exist does", fn: clusterChanged, was: ackCluster("c", ""), now: ackCluster("c", "c1"), want: true},
		"Lives":   {reason: "One that goes on existing does not", fn: clusterChanged, was: ackCluster("c", "c1"), now: ackCluster("c", "c1")},
		"Ended":   {reason: "One that is gone does", fn: clusterChanged, was: ackCluster("c", "c1"), want: true},
		"Reserve": {reason: "A reservation may bring offerings", fn: reservationChanged, now: &v1alpha1.CapacityReservation{}, want: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			plan, got := tc.fn(tc.was, tc.now)
			if got != tc.want || plan != tc.plan {
				t.Errorf("\nReason: %s\nwant %q, %t; got %q, %t", tc.reason, tc.plan, tc.want, plan, got)
			}
		})
	}
}
