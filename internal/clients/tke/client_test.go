package tke

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
)

const secret = "not-a-real-secret"

// newTestClient is the real SDK against a server of this test.
func newTestClient(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return clientOf(t, srv.URL)
}

func clientOf(t *testing.T, endpoint string) *Client {
	t.Helper()
	spec := &v1alpha1.ProviderConfigSpec{
		Type: v1alpha1.TypeTencentCloud, Endpoint: endpoint, RateLimit: &v1alpha1.RateLimit{QPS: 100, Burst: 200},
	}
	c, err := NewFactory(clock.RealClock{}).Client(spec, []byte(`{"secretId":"id","secretKey":"`+secret+`"}`), "ap-test")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const requestID = "8f3c6c1b-0000-4000-8000-0123456789ab"

// refuse writes an error as TKE does: with status 200.
func refuse(code, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"Response":{"Error":{"Code":%q,"Message":%q},"RequestId":%q}}`, code, message, requestID)
	}
}

func TestClassify(t *testing.T) {
	type want struct {
		class    cloud.Class
		field    string
		definite bool
		text     string
	}
	cases := map[string]struct {
		reason string
		h      http.HandlerFunc
		want   want
	}{
		"Gone": {
			reason: "Codes of what does not exist differ from API to API.",
			h:      refuse("InternalError.ClusterNotFound", "no"),
			want:   want{class: cloud.Gone, definite: true},
		},
		"GoneRecord": {reason: "Another one.", h: refuse("FailedOperation.RecordNotFound", "no"), want: want{class: cloud.Gone, definite: true}},
		"GonePlain":  {reason: "And another.", h: refuse("ResourceNotFound", "no"), want: want{class: cloud.Gone, definite: true}},
		"VPC": {
			reason: "Not all that ends in NotFound is gone: the VPC is what a person wrote.",
			h:      refuse("FailedOperation.VpcRecodrNotFound", "no such network"),
			want:   want{class: cloud.Invalid, field: "vpcId", definite: true},
		},
		"Signature": {
			reason: "The message may repeat what was signed: it must not reach a condition.",
			h:      refuse("AuthFailure.SignatureFailure", "expected "+secret),
			want: want{class: cloud.Unauthorised, definite: true, text: "CreateCluster: AuthFailure.SignatureFailure: the cloud refused the credentials, " +
				"or they lack the right to do this (check the credentials in the ProviderConfig and the rights of the account)"},
		},
		"CAM":          {reason: "Missing rights are not absence.", h: refuse("InternalError.CamNoAuth", "no"), want: want{class: cloud.Unauthorised, definite: true}},
		"Throttled":    {reason: "The request was not carried out.", h: refuse("RequestLimitExceeded", "slow"), want: want{class: cloud.Throttled, definite: true}},
		"ThrottledUin": {reason: "Codes match with what follows a dot.", h: refuse("RequestLimitExceeded.UinLimitExceeded", "slow"), want: want{class: cloud.Throttled, definite: true}},
		"State":        {reason: "Something else is under way.", h: refuse("FailedOperation.ClusterState", "Creating"), want: want{class: cloud.WrongState, definite: true}},
		"Empty":        {reason: "A public endpoint needs a node first.", h: refuse("InternalError.EmptyClusterNotSupport", "no worker"), want: want{class: cloud.WrongState, definite: true}},
		"Pods":         {reason: "Pods run on the virtual node.", h: refuse("ResourceInUse.ExistRunningPod", "pod"), want: want{class: cloud.WrongState, definite: true}},
		"Quota":        {reason: "A quota needs a person.", h: refuse("FailedOperation.QuotaMaxClsLimit", "5"), want: want{class: cloud.Quota, definite: true}},
		"Money":        {reason: "So does an empty account.", h: refuse("InternalError.TradeCommon", "top up"), want: want{class: cloud.Quota, definite: true}},
		"Limit":        {reason: "A limit is no throttling.", h: refuse("LimitExceeded", "L5"), want: want{class: cloud.Quota, definite: true}},
		"Stock":        {reason: "Machines are sold out.", h: refuse("ResourceInsufficient.SpecifiedInstanceType", "S5"), want: want{class: cloud.OutOfStock, definite: true}},
		"SoldOut":      {reason: "In other words.", h: refuse("ResourcesSoldOut.SpecifiedInstanceType", "S5"), want: want{class: cloud.OutOfStock, definite: true}},
		"Offering": {
			reason: "A parameter that is wrong only because it is not sold.",
			h:      refuse("InvalidParameterValue.InsufficientOffering", "S5"),
			want:   want{class: cloud.OutOfStock, definite: true},
		},
		"Protected": {reason: "Protection has to be switched off.", h: refuse("OperationDenied.ClusterInDeletionProtection", "on"), want: want{class: cloud.Protected, definite: true}},
		"Subnet":    {reason: "The virtual node may be our own.", h: refuse("ResourceInUse.SubnetAlreadyExist", "x"), want: want{class: cloud.Conflict}},
		"CIDR": {
			reason: "The code names the field, whatever family it belongs to.",
			h:      refuse("InternalError.CidrConflictWithVpcCidr", "10.0.0.0/16, RequestId: "+requestID),
			want: want{
				class: cloud.Invalid, field: "clusterCIDR", definite: true,
				text: "CreateCluster: spec.forProvider.clusterCIDR was refused: InternalError.CidrConflictWithVpcCidr: 10.0.0.0/16 (correct the field)",
			},
		},
		"SubnetField": {
			reason: "A cluster has one subnet.",
			h:      refuse("InvalidParameter.Param", "subnet subnet-9 does not exist in VPC vpc-1"),
			want:   want{class: cloud.Invalid, field: "subnetId", definite: true},
		},
		"InternalError":   {reason: "A plain internal error leaves the outcome open.", h: refuse("InternalError", "boom"), want: want{class: cloud.Unknown}},
		"FailedOperation": {reason: "A failed operation may have failed half-way.", h: refuse("FailedOperation", "boom"), want: want{class: cloud.Unknown}},
		"Strange":         {reason: "So does what nobody knows.", h: refuse("Whatever", "boom"), want: want{class: cloud.Unknown}},
		"JSON500": {
			reason: "A server error proves nothing, whatever its code.",
			h: func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(500)
				refuse("ResourceUnavailable", "boom")(w, r)
			},
			want: want{class: cloud.WrongState},
		},
		"HTML": {
			reason: "A page of a proxy leaves the outcome open, and is not repeated.",
			h: func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(502)
				fmt.Fprint(w, "<html><body>"+secret+"</body></html>")
			},
			want: want{class: cloud.Unknown, text: "CreateCluster: the answer was lost or is not readable"},
		},
		"Busy": {
			reason: "A gateway that is too busy lets nothing through.",
			h: func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(429)
				fmt.Fprint(w, "slow down")
			},
			want: want{class: cloud.Throttled, definite: true},
		},
		"Status": {
			reason: "So does a status without an error.",
			h: func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(404)
				fmt.Fprint(w, "{}")
			},
			want: want{class: cloud.Unknown, text: "CreateCluster: the answer was lost or is not readable"},
		},
		"EOF": {
			reason: "A connection that is cut leaves the outcome open.",
			h: func(w http.ResponseWriter, _ *http.Request) {
				if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
					_ = c.Close()
				}
			},
			want: want{class: cloud.Unknown, text: "CreateCluster: the answer was lost or is not readable"},
		},
		"Truncated": {
			reason: "Half an answer is none.",
			h: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "500")
				fmt.Fprint(w, `{"Response":{"ClusterId":"cls-1"`)
			},
			want: want{class: cloud.Unknown},
		},
		"NoID": {
			reason: "An answer without an id is none.",
			h:      func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"Response":{"RequestId":"x"}}`) },
			want:   want{class: cloud.Unknown},
		},
		"Nothing": {
			reason: "Nor is an empty one.",
			h:      func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{}`) },
			want:   want{class: cloud.Unknown},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := newTestClient(t, tc.h).CreateCluster(context.Background(), ClusterInput{Name: "rp-1"})
			var e *cloud.Error
			if !errors.As(err, &e) {
				t.Fatalf("\nReason: %s\nCreateCluster(...): want an error of a cloud, got %v", tc.reason, err)
			}
			got := want{class: e.Class, field: e.Field, definite: cloud.Definite(err)}
			if tc.want.text != "" {
				got.text = err.Error()
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("\nReason: %s\nCreateCluster(...): -want, +got:\n%s", tc.reason, diff)
			}
			if s := err.Error(); strings.Contains(s, secret) || strings.Contains(s, requestID) {
				t.Errorf("\nReason: errors are stable and tell no secrets\nCreateCluster(...): %s", s)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	_, err := clientOf(t, srv.URL).CreateCluster(context.Background(), ClusterInput{})
	if !cloud.Is(err, cloud.Unreachable) || !cloud.Definite(err) {
		t.Errorf("\nReason: no connection means that nothing was sent\nCreateCluster(...): %v", err)
	}
}

func TestContext(t *testing.T) {
	release := make(chan struct{})
	c := newTestClient(t, func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := c.CreateCluster(ctx, ClusterInput{})
	if !cloud.Is(err, cloud.Unknown) || err.Error() != "CreateCluster: the answer did not come in time" {
		t.Errorf("\nReason: a call that is abandoned may have been carried out\nCreateCluster(...): %v", err)
	}
}

// answers by action. A list of answers is used up one by one, the last for ever.
type script map[string][]string

func (s script) client(t *testing.T) (c *Client, bodies map[string][]map[string]any) {
	t.Helper()
	bodies = map[string][]map[string]any{}
	c = newTestClient(t, func(w http.ResponseWriter, r *http.Request) {
		action := r.Header.Get("X-TC-Action")
		b, _ := io.ReadAll(r.Body)
		body := map[string]any{}
		_ = json.Unmarshal(b, &body)
		n := len(bodies[action])
		bodies[action] = append(bodies[action], body)
		all := s[action]
		if len(all) == 0 {
			refuse("InvalidAction", action)(w, r)
			return
		}
		fmt.Fprintf(w, `{"Response":%s}`, all[min(n, len(all)-1)])
	})
	return c, bodies
}

func TestAbsence(t *testing.T) {
	gone := func(code string) string { return `{"Error":{"Code":"` + code + `","Message":"x"},"RequestId":"r"}` }
	noClusters := []string{`{"TotalCount":0,"Clusters":[]}`}
	cluster := []string{`{"TotalCount":1,"Clusters":[{"ClusterId":"cls-1","ClusterStatus":"Running"}]}`}
	type want struct {
		class cloud.Class
		code  string
		state string
	}
	pool := func(c *Client) (string, error) {
		np, err := c.GetNodePool(context.Background(), "cls-1", "np-1")
		if err != nil {
			return "", err
		}
		return np.State, nil
	}
	cases := map[string]struct {
		reason string
		script script
		get    func(c *Client) (string, error)
		want   want
	}{
		"EmptyList": {
			reason: "TKE has no error for a cluster that is gone.",
			script: script{"DescribeClusters": noClusters},
			get: func(c *Client) (string, error) {
				_, err := c.GetCluster(context.Background(), "cls-1")
				return "", err
			},
			want: want{class: cloud.Gone, code: CodeClusterAbsent},
		},
		"NoCount": {
			reason: "An answer that counts nothing proves nothing.",
			script: script{"DescribeClusters": {`{"RequestId":"r"}`}},
			get: func(c *Client) (string, error) {
				_, err := c.GetCluster(context.Background(), "cls-1")
				return "", err
			},
			want: want{class: cloud.Unknown},
		},
		"Pool": {
			reason: "A code that is used for failures as well makes one look at the list.",
			script: script{"DescribeClusterNodePoolDetail": {gone("InternalError.UnexpectedInternal")}, "DescribeClusterNodePools": {`{"TotalCount":0,"NodePoolSet":[]}`}},
			get:    pool,
			want:   want{class: cloud.Gone, code: CodeNodePoolAbsent},
		},
		"PoolThere": {
			reason: "If the list has it, it is there.",
			script: script{
				"DescribeClusterNodePoolDetail": {gone("InternalError.DbRecordNotFound")},
				"DescribeClusterNodePools":      {`{"TotalCount":1,"NodePoolSet":[{"NodePoolId":"np-1","LifeState":"deleting"}]}`},
			},
			get:  pool,
			want: want{state: NodePoolDeleting},
		},
		"PoolOfNoCluster": {
			reason: "The cluster of the pool is gone.",
			script: script{
				"DescribeClusterNodePoolDetail": {gone("ResourceNotFound.ClusterNotFound")},
				"DescribeClusterNodePools":      {gone("ResourceNotFound.ClusterNotFound")}, "DescribeClusters": noClusters,
			},
			get:  pool,
			want: want{class: cloud.Gone, code: CodeClusterAbsent},
		},
		"Contradiction": {
			reason: "One API knows the cluster, the other does not: that is no absence.",
			script: script{
				"DescribeClusterNodePoolDetail": {gone("InternalError.ClusterNotFound")},
				"DescribeClusterNodePools":      {gone("ResourceNotFound.ClusterNotFound")}, "DescribeClusters": cluster,
			},
			get:  pool,
			want: want{class: cloud.Unknown, code: "ResourceNotFound.ClusterNotFound"},
		},
		"PoolDenied": {
			reason: "Missing rights are not absence.",
			script: script{"DescribeClusterNodePoolDetail": {gone("UnauthorizedOperation.CamNoAuth")}},
			get:    pool,
			want:   want{class: cloud.Unauthorised, code: "UnauthorizedOperation.CamNoAuth"},
		},
		"DeletePool": {
			reason: "Deleting a pool that is gone says InternalError.Param, of all things.",
			script: script{"DeleteClusterNodePool": {gone("InternalError.Param")}, "DescribeClusterNodePools": {`{"TotalCount":0,"NodePoolSet":[]}`}},
			get: func(c *Client) (string, error) {
				return "", c.DeleteNodePool(context.Background(), "cls-1", "np-1")
			},
			want: want{class: cloud.Gone, code: CodeNodePoolAbsent},
		},
		"Instances": {
			reason: "The same for instances.",
			script: script{"DescribeClusterInstances": {gone("InvalidParameter.ClusterNotFound")}, "DescribeClusters": noClusters},
			get: func(c *Client) (string, error) {
				_, err := c.ListInstances(context.Background(), "cls-1", "np-1")
				return "", err
			},
			want: want{class: cloud.Gone, code: CodeClusterAbsent},
		},
		"VirtualNodes": {
			reason: "Virtual nodes of a pool that is gone are refused as a wrong parameter.",
			script: script{"DescribeClusterVirtualNode": {gone("InvalidParameter.Param")}, "DescribeClusterVirtualNodePools": {`{"TotalCount":0,"NodePoolSet":[]}`}},
			get: func(c *Client) (string, error) {
				_, err := c.ListVirtualNodes(context.Background(), "cls-1", "np-1")
				return "", err
			},
			want: want{class: cloud.Gone, code: CodeNodePoolAbsent},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c, _ := tc.script.client(t)
			state, err := tc.get(c)
			got := want{class: cloud.ClassOf(err), state: state}
			var e *cloud.Error
			if errors.As(err, &e) {
				got.code = e.Code
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("\nReason: %s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestPages(t *testing.T) {
	page := func(total, from, n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(`{"InstanceId":"ins-%03d","NodePoolId":"np-1"}`, from+i))
		}
		return fmt.Sprintf(`{"TotalCount":%d,"InstanceSet":[%s]}`, total, strings.Join(all, ","))
	}
	cases := map[string]struct {
		reason  string
		answers []string
		calls   int
		want    int
		class   cloud.Class
	}{
		"One":       {reason: "A short list is one page.", answers: []string{page(3, 0, 3)}, calls: 1, want: 3},
		"Two":       {reason: "A long list is read to its end.", answers: []string{page(130, 0, 100), page(130, 100, 30)}, calls: 2, want: 130},
		"Changed":   {reason: "A list that grows while it is read is read again.", answers: []string{page(130, 0, 100), page(131, 100, 31), page(131, 0, 100), page(131, 100, 31)}, calls: 4, want: 131},
		"Shifted":   {reason: "So is one in which things have moved from page to page.", answers: []string{page(130, 0, 100), page(130, 99, 30), page(130, 0, 100), page(130, 100, 30)}, calls: 4, want: 130},
		"Restless":  {reason: "A list that never holds still is no list.", answers: []string{page(2, 0, 1)}, calls: 10, class: cloud.Unknown},
		"Uncounted": {reason: "Nor is one without a count.", answers: []string{`{"InstanceSet":[]}`}, calls: 1, class: cloud.Unknown},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if name == "Restless" {
				tc.answers = nil
				for range maxRestarts {
					tc.answers = append(tc.answers, page(2, 0, 1), page(2, 2, 0))
				}
			}
			c, bodies := script{"DescribeClusterInstances": tc.answers}.client(t)
			got, err := c.ListInstances(context.Background(), "cls-1", "np-1")
			if cloud.ClassOf(err) != tc.class || len(got) != tc.want || len(bodies["DescribeClusterInstances"]) != tc.calls {
				t.Errorf("\nReason: %s\nListInstances(...): %d instances in %d calls, %v", tc.reason, len(got), len(bodies["DescribeClusterInstances"]), err)
			}
		})
	}
}

func TestCreateCluster(t *testing.T) {
	c, bodies := script{"CreateCluster": {`{"ClusterId":"cls-1"}`}}.client(t)
	id, err := c.CreateCluster(context.Background(), ClusterInput{
		Name: "rp-1", VPCID: "vpc-1", SubnetID: "subnet-1", ClusterCIDR: "172.16.0.0/16", ServiceCIDR: "172.19.0.0/20", MaxPodsPerNode: 64,
		Level: "L50", Tags: map[string]string{"regionpool.io/uid": "u"},
	})
	if err != nil || id != "cls-1" {
		t.Fatalf("CreateCluster(...): %q, %v", id, err)
	}
	want := map[string]any{
		"ClusterType": "MANAGED_CLUSTER",
		"ClusterBasicSettings": map[string]any{
			"ClusterName": "rp-1", "VpcId": "vpc-1", "SubnetId": "subnet-1", "ClusterLevel": "L50",
			"AutoUpgradeClusterLevel": map[string]any{"IsAutoUpgrade": false},
			"TagSpecification":        []any{map[string]any{"ResourceType": "cluster", "Tags": []any{map[string]any{"Key": "regionpool.io/uid", "Value": "u"}}}},
		},
		"ClusterCIDRSettings":     map[string]any{"ClusterCIDR": "172.16.0.0/16", "ServiceCIDR": "172.19.0.0/20", "MaxNodePodNum": 64.0, "MaxClusterServiceNum": 4096.0},
		"ClusterAdvancedSettings": map[string]any{"IPVS": true, "ContainerRuntime": "containerd", "DeletionProtection": false, "NetworkType": "GR"},
	}
	if diff := cmp.Diff(want, bodies["CreateCluster"][0]); diff != "" {
		t.Errorf("\nReason: the owner's tag travels with the call that creates\nCreateCluster(...): -want, +got:\n%s", diff)
	}
}

func TestCreateNodePool(t *testing.T) {
	c, bodies := script{"CreateClusterNodePool": {`{"NodePoolId":"np-1"}`}, "ModifyClusterNodePool": {`{}`}}.client(t)
	_, err := c.CreateNodePool(context.Background(), "cls-1", NodePoolInput{
		Name: "rp-1", VPCID: "vpc-1", SubnetIDs: []string{"subnet-1"}, InstanceTypes: []string{"S5.MEDIUM4", "SA5.MEDIUM4"}, Spot: true,
		Desired: 2, Max: 5, DiskType: "CLOUD_PREMIUM", DiskSizeGiB: 100, Labels: map[string]string{"a": "b"},
		Taints: []corev1.Taint{{Key: "k", Value: "v", Effect: corev1.TaintEffectNoSchedule}}, Tags: map[string]string{"t": "u"},
	})
	if err != nil {
		t.Fatal(err)
	}
	body := bodies["CreateClusterNodePool"][0]
	parse := func(key string) map[string]any {
		m := map[string]any{}
		if err := json.Unmarshal([]byte(body[key].(string)), &m); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		return m
	}
	body["AutoScalingGroupPara"], body["LaunchConfigurePara"] = parse("AutoScalingGroupPara"), parse("LaunchConfigurePara")
	tag := []any{map[string]any{"Key": "t", "Value": "u"}}
	want := map[string]any{
		"ClusterId": "cls-1", "Name": "rp-1", "EnableAutoscale": false, "DeletionProtection": false,
		"AutoScalingGroupPara": map[string]any{
			"AutoScalingGroupName": "rp-1", "VpcId": "vpc-1", "SubnetIds": []any{"subnet-1"}, "MinSize": 0.0, "MaxSize": 5.0, "DesiredCapacity": 2.0,
			"RetryPolicy": "IMMEDIATE_RETRY", "MultiZoneSubnetPolicy": "PRIORITY", "TerminationPolicies": []any{"NEWEST_INSTANCE"},
		},
		"LaunchConfigurePara": map[string]any{
			"InstanceType": "S5.MEDIUM4", "InstanceTypes": []any{"S5.MEDIUM4", "SA5.MEDIUM4"}, "InstanceChargeType": "SPOTPAID",
			"InstanceMarketOptions": map[string]any{"MarketType": "spot", "SpotOptions": map[string]any{"MaxPrice": "1000", "SpotInstanceType": "one-time"}},
			"SystemDisk":            map[string]any{"DiskType": "CLOUD_PREMIUM", "DiskSize": 100.0},
			"InternetAccessible":    map[string]any{"PublicIpAssigned": false, "InternetMaxBandwidthOut": 0.0}, "InstanceTags": tag,
		},
		"Labels": []any{map[string]any{"Name": "a", "Value": "b"}}, "Taints": []any{map[string]any{"Key": "k", "Value": "v", "Effect": "NoSchedule"}}, "Tags": tag,
	}
	if diff := cmp.Diff(want, body); diff != "" {
		t.Errorf("\nReason: the vendor's scaler is off, nobody buys an address, machines carry the owner's tag\nCreateNodePool(...): -want, +got:\n%s", diff)
	}

	if err := c.ConfigureNodePool(context.Background(), "cls-1", "np-1", NodePoolChange{Taints: []corev1.Taint{}}); err != nil {
		t.Fatal(err)
	}
	wantChange := map[string]any{"ClusterId": "cls-1", "NodePoolId": "np-1", "Taints": []any{}, "IgnoreExistedNode": false}
	if diff := cmp.Diff(wantChange, bodies["ModifyClusterNodePool"][0]); diff != "" {
		t.Errorf("\nReason: an empty list takes the taints away, and what is not set stays\nConfigureNodePool(...): -want, +got:\n%s", diff)
	}
}

func TestKubeconfig(t *testing.T) {
	kubeconfig := "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster:\n    server: https://cls-1.ccs.tencent-cloud.com\n    certificate-authority-data: Y2E=\n" +
		"contexts:\n- name: x\n  context:\n    cluster: c\n    user: u\ncurrent-context: x\nusers:\n- name: u\n  user:\n    token: " + secret + "\n"
	b, err := json.Marshal(map[string]string{"Kubeconfig": kubeconfig})
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		reason    string
		status    string
		endpoints string
		want      string
		code      string
	}{
		"Intranet": {
			reason: "The server becomes the address: its name may not resolve.",
			status: EndpointCreated, endpoints: `{"ClusterIntranetEndpoint":"10.0.0.9","ClusterExternalEndpoint":"1.2.3.4"}`, want: "server: https://10.0.0.9\n",
		},
		"Port":    {reason: "An address may have a scheme and a port.", status: EndpointCreated, endpoints: `{"ClusterIntranetEndpoint":"https://10.0.0.9:6443/"}`, want: "server: https://10.0.0.9:6443\n"},
		"Missing": {reason: "Without an endpoint there is no kubeconfig.", status: EndpointNotFound, code: CodeNoEndpoint},
		"NoAddress": {
			reason: "An endpoint that is Created may have no address yet.",
			status: EndpointCreated, endpoints: `{"ClusterIntranetEndpoint":"","ClusterDomain":"cls-1.ccs.tencent-cloud.com"}`, code: CodeNoEndpoint,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c, _ := script{
				"DescribeClusterEndpointStatus": {`{"Status":"` + tc.status + `"}`}, "DescribeClusterEndpoints": {tc.endpoints}, "DescribeClusterKubeconfig": {string(b)},
			}.client(t)
			got, err := c.Kubeconfig(context.Background(), "cls-1", false)
			if tc.code != "" {
				if !cloud.IsCode(err, tc.code) || !cloud.Is(err, cloud.WrongState) {
					t.Errorf("\nReason: %s\nKubeconfig(...): %v", tc.reason, err)
				}
				return
			}
			if err != nil || !strings.Contains(string(got), tc.want) || !strings.Contains(string(got), secret) {
				t.Errorf("\nReason: %s\nKubeconfig(...): %v\n%s", tc.reason, err, got)
			}
		})
	}
}

func TestFactory(t *testing.T) {
	f := NewFactory(clock.RealClock{})
	spec := func(endpoint string) *v1alpha1.ProviderConfigSpec {
		return &v1alpha1.ProviderConfigSpec{Type: v1alpha1.TypeTencentCloud, Endpoint: endpoint}
	}
	good := []byte(`{"secretId":"id","secretKey":"key","token":"t"}`)
	cases := map[string]struct {
		reason string
		spec   *v1alpha1.ProviderConfigSpec
		raw    []byte
		want   string
	}{
		"HostPort":   {reason: "An endpoint may be host and port.", spec: spec("tke.example.com:443"), raw: good},
		"URL":        {reason: "An endpoint may be a URL.", spec: spec("http://127.0.0.1:8080"), raw: good},
		"Default":    {reason: "Without an endpoint the vendor's are used.", spec: spec(""), raw: good},
		"BadURL":     {reason: "A path would be lost.", spec: spec("http://127.0.0.1/x"), raw: good, want: "spec.endpoint"},
		"NoJSON":     {reason: "What cannot be parsed must not be repeated.", spec: spec(""), raw: []byte("hunter2"), want: "the credentials are no JSON"},
		"Incomplete": {reason: "Half a key is none.", spec: spec(""), raw: []byte(`{"secretId":"id"}`), want: "lack secretId or secretKey"},
		"NoIdentity": {reason: "An injected identity that is not there is named.", spec: spec(""), raw: nil, want: "TKE_ROLE_ARN"},
		"WrongType":  {reason: "Another cloud's account is none of ours.", spec: &v1alpha1.ProviderConfigSpec{Type: v1alpha1.TypeAlibabaCloud}, raw: good, want: `"AlibabaCloud"`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c, err := f.Client(tc.spec, tc.raw, "ap-test")
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("\nReason: %s\nClient(...): %v", tc.reason, err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hunter2")):
				t.Errorf("\nReason: %s\nClient(...): want %q, got %v", tc.reason, tc.want, err)
			}
			if tc.want != "" {
				return
			}
			if again, _ := f.Client(tc.spec, tc.raw, "ap-test"); again != c {
				t.Errorf("\nReason: clients are kept\nClient(...): another one")
			}
		})
	}
}
