package ack

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
)

const secret = "not-a-real-secret"

// newTestClient is the real SDK against a server of this test.
func newTestClient(t *testing.T, h http.HandlerFunc) API {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return clientOf(t, srv.URL)
}

func clientOf(t *testing.T, endpoint string) API {
	t.Helper()
	spec := &v1alpha1.ProviderConfigSpec{
		Type: v1alpha1.TypeAlibabaCloud, Endpoint: endpoint, RateLimit: &v1alpha1.RateLimit{QPS: 100, Burst: 200},
	}
	api, err := NewFactory(clock.RealClock{}).Client(spec, []byte(`{"accessKeyId":"ak","accessKeySecret":"`+secret+`"}`), "cn-test")
	if err != nil {
		t.Fatal(err)
	}
	return api
}

func TestClassify(t *testing.T) {
	backend := func(status int, code, message string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"code":%q,"message":%q,"requestId":"8F3C6C1B-0000-4000-8000-0123456789AB","status":%d,"accessDeniedDetail":null}`, code, message, status)
		}
	}
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
			reason: "Only the API's own code for a cluster that does not exist means that it is gone.",
			h:      backend(404, "ErrorClusterNotFound", "cluster not found: c1"),
			want:   want{class: cloud.Gone, definite: true},
		},
		"Plain404": {
			reason: "A 404 with another code proves nothing.",
			h:      backend(404, "InvalidAction.NotFound", "Specified api is not found"),
			want:   want{class: cloud.Unknown},
		},
		"Forbidden": {
			reason: "Missing rights are not absence.",
			h:      backend(403, "ErrorCheckAcl", "not allowed"),
			want:   want{class: cloud.Unauthorised, definite: true},
		},
		"Signature": {
			reason: "The gateway writes capitals, and repeats what was signed: it must not reach a condition.",
			h: func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(400)
				fmt.Fprintf(w, `{"Code":"SignatureDoesNotMatch","Message":"server string to sign is: %s","RequestId":"x"}`, secret)
			},
			want: want{class: cloud.Unauthorised, definite: true, text: "CreateCluster: SignatureDoesNotMatch: the cloud refused the credentials, or they lack the right to do this (check the credentials in the ProviderConfig and the rights of the account)"},
		},
		"Throttled": {
			reason: "Throttling has several codes and comes with 400.",
			h:      backend(400, "Throttling.User", "Request was denied due to user flow control"),
			want:   want{class: cloud.Throttled, definite: true},
		},
		"Throttled503": {
			reason: "A server error of a gateway does not prove that nothing was done.",
			h:      backend(503, "ServiceUnavailable", "busy"),
			want:   want{class: cloud.Throttled},
		},
		"Throttled429": {
			reason: "An unknown code with 429 is throttling.",
			h:      backend(429, "Whatever", "slow down"),
			want:   want{class: cloud.Throttled, definite: true},
		},
		"WrongState": {
			reason: "Something else is under way.",
			h:      backend(400, "ErrorClusterState", "cannot operate cluster where state is initial"),
			want:   want{class: cloud.WrongState, definite: true},
		},
		"PoolState": {
			reason: "Codes match with what follows a dot.",
			h:      backend(400, "InvalidNodePoolStatus.Forbidden", "cannot operate nodepool where state is scaling"),
			want:   want{class: cloud.WrongState, definite: true},
		},
		"Dependency": {
			reason: "Load balancers that still detach are waited for.",
			h:      backend(400, "DependencyViolation.Resource", "eni"),
			want:   want{class: cloud.WrongState, definite: true},
		},
		"Quota": {
			reason: "A quota needs a person, although the status is 403.",
			h:      backend(403, "QuotaExceeded.Cluster", "the quota of 5 is exceeded"),
			want:   want{class: cloud.Quota, definite: true},
		},
		"Balance": {
			reason: "So does an empty account.",
			h:      backend(400, "InvalidAccountStatus.NotEnoughBalance", "top up"),
			want:   want{class: cloud.Quota, definite: true},
		},
		"NoStock": {
			reason: "Machines are sold out.",
			h:      backend(400, "OperationDenied.NoStock", "sold out"),
			want:   want{class: cloud.OutOfStock, definite: true},
		},
		"Protected": {
			reason: "Deletion protection is not a wrong state: it has to be switched off.",
			h:      backend(400, "OperationDenied.DeletionProtection", "on"),
			want:   want{class: cloud.Protected, definite: true},
		},
		"NameTaken": {
			reason: "A name that is taken may be our own lost creation.",
			h:      backend(400, "ClusterNameAlreadyExist", "exists"),
			want:   want{class: cloud.Conflict},
		},
		"InvalidCode": {
			reason: "The code names the field.",
			h:      backend(400, "InvalidParameter.VswitchIds", "vsw-9 is not in vpc-1, request id: 8F3C6C1B-0000-4000-8000-0123456789AB"),
			want: want{
				class: cloud.Invalid, field: "vSwitchIds", definite: true,
				text: "CreateCluster: spec.forProvider.vSwitchIds was refused: InvalidParameter.VswitchIds: vsw-9 is not in vpc-1 (correct the field)",
			},
		},
		"InvalidMessage": {
			reason: "If the code does not, the message may.",
			h:      backend(400, "InvalidParameter", "the instance type ecs.g7.none does not exist"),
			want:   want{class: cloud.Invalid, field: "instanceTypes", definite: true},
		},
		"InternalError": {
			reason: "A failure in the middle leaves the outcome open.",
			h:      backend(500, "InternalError", "8F3C"),
			want:   want{class: cloud.Unknown},
		},
		"HTML": {
			reason: "A page of a proxy leaves the outcome open.",
			h: func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(502)
				fmt.Fprint(w, "<html><body>502 Bad Gateway</body></html>")
			},
			want: want{class: cloud.Unknown},
		},
		"EOF": {
			reason: "A connection that is cut leaves the outcome open.",
			h: func(w http.ResponseWriter, _ *http.Request) {
				c, _, err := http.NewResponseController(w).Hijack()
				if err == nil {
					_ = c.Close()
				}
			},
			want: want{class: cloud.Unknown, text: "CreateCluster: the answer was lost or is not readable"},
		},
		"Truncated": {
			reason: "Half an answer is none.",
			h: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "500")
				w.WriteHeader(202)
				fmt.Fprint(w, `{"cluster_id":"c1"`)
			},
			want: want{class: cloud.Unknown},
		},
		"NoID": {
			reason: "An answer without an id is none.",
			h: func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(202)
				fmt.Fprint(w, `{}`)
			},
			want: want{class: cloud.Unknown},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			api := newTestClient(t, tc.h)
			_, err := api.CreateCluster(context.Background(), ClusterInput{Name: "rp-1"})
			var e *cloud.Error
			if err == nil {
				t.Fatalf("\nReason: %s\nCreateCluster(...): want an error", tc.reason)
			}
			e, _ = err.(*cloud.Error)
			got := want{class: e.Class, field: e.Field, definite: cloud.Definite(err)}
			if tc.want.text != "" {
				got.text = err.Error()
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("\nReason: %s\nCreateCluster(...): -want, +got:\n%s", tc.reason, diff)
			}
			if s := err.Error(); strings.Contains(s, secret) || strings.Contains(s, "8F3C6C1B") {
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
	api := newTestClient(t, func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := api.CreateCluster(ctx, ClusterInput{})
	if !cloud.Is(err, cloud.Unknown) {
		t.Errorf("\nReason: a call that is abandoned may have been carried out\nCreateCluster(...): %v", err)
	}
}

func TestCreateCluster(t *testing.T) {
	var got map[string]any
	var auth, action string
	api := newTestClient(t, func(w http.ResponseWriter, r *http.Request) {
		auth, action = r.Header.Get("Authorization"), r.Method+" "+r.URL.Path
		_ = json.NewDecoder(r.Body).Decode(&got)
		w.WriteHeader(202)
		fmt.Fprint(w, `{"cluster_id":"c1","task_id":"T-1","request_id":"r"}`)
	})
	created, err := api.CreateCluster(context.Background(), ClusterInput{
		Name: "rp-1", VPCID: "vpc-1", VSwitchIDs: []string{"vsw-1"}, ContainerCIDR: "10.0.0.0/16", ServiceCIDR: "172.19.0.0/20",
		NodeCIDRMask: 25, Spec: "ack.pro.small", Addons: []Addon{{Name: "flannel"}, {Name: "nginx-ingress-controller", Disabled: true}},
		Tags: map[string]string{"regionpool.io/uid": "u"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Created{ID: "c1", TaskID: "T-1"}, created); diff != "" {
		t.Errorf("CreateCluster(...): -want, +got:\n%s", diff)
	}
	if !strings.HasPrefix(auth, "ACS3-HMAC-SHA256 ") || action != "POST /clusters" {
		t.Errorf("CreateCluster(...): %s signed with %s", action, auth)
	}
	want := map[string]any{
		"name": "rp-1", "region_id": "cn-test", "cluster_type": "ManagedKubernetes", "profile": "Default", "cluster_spec": "ack.pro.small",
		"vpcid": "vpc-1", "vswitch_ids": []any{"vsw-1"}, "service_cidr": "172.19.0.0/20", "container_cidr": "10.0.0.0/16", "node_cidr_mask": "25",
		"proxy_mode": "ipvs", "endpoint_public_access": false, "snat_entry": false, "is_enterprise_security_group": true, "deletion_protection": false,
		"addons": []any{map[string]any{"name": "flannel", "disabled": false}, map[string]any{"name": "nginx-ingress-controller", "disabled": true}},
		"tags":   []any{map[string]any{"key": "regionpool.io/uid", "value": "u"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("\nReason: what is left out here costs money by default\nCreateCluster(...): -want, +got:\n%s", diff)
	}
}

func TestListClusters(t *testing.T) {
	pages := 0
	api := newTestClient(t, func(w http.ResponseWriter, r *http.Request) {
		pages++
		var list []string
		for i := range 50 {
			name := "rp-1-other"
			if i == 7 {
				name = "rp-1"
			}
			list = append(list, fmt.Sprintf(`{"cluster_id":"c%s-%d","name":%q,"created":"2026-01-02T03:04:05Z","tags":[{"key":"k","value":"v"}]}`, r.URL.Query().Get("page_number"), i, name))
		}
		fmt.Fprintf(w, `{"clusters":[%s],"page_info":{"page_number":1,"page_size":50,"total_count":100}}`, strings.Join(list, ","))
	})
	got, err := api.ListClusters(context.Background(), "rp-1")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	want := []Cluster{
		{ID: "c1-7", Name: "rp-1", Tags: map[string]string{"k": "v"}, Created: at},
		{ID: "c2-7", Name: "rp-1", Tags: map[string]string{"k": "v"}, Created: at},
	}
	if diff := cmp.Diff(want, got); diff != "" || pages != 2 {
		t.Errorf("\nReason: all pages are read, and the fuzzy filter is made exact\nListClusters(...): %d pages, -want, +got:\n%s", pages, diff)
	}
}

func TestRemoveNodes(t *testing.T) {
	var query, method string
	api := newTestClient(t, func(w http.ResponseWriter, r *http.Request) {
		query, method = r.URL.Query().Get("instance_ids")+" "+r.URL.Query().Get("drain_node")+" "+r.URL.Query().Get("release_node"), r.Method+" "+r.URL.Path
		w.WriteHeader(202)
		fmt.Fprint(w, `{"task_id":"T-2"}`)
	})
	task, err := api.RemoveNodes(context.Background(), "c1", "np1", []string{"i-1", "i-2"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"T-2", `["i-1","i-2"] false true`, "DELETE /clusters/c1/nodepools/np1/nodes"}, []string{task, query, method}); diff != "" {
		t.Errorf("RemoveNodes(...): -want, +got:\n%s", diff)
	}
}

func TestFactory(t *testing.T) {
	f := NewFactory(clock.RealClock{})
	spec := func(endpoint string) *v1alpha1.ProviderConfigSpec {
		return &v1alpha1.ProviderConfigSpec{Type: v1alpha1.TypeAlibabaCloud, Endpoint: endpoint}
	}
	good := []byte(`{"accessKeyId":"ak","accessKeySecret":"sk"}`)
	cases := map[string]struct {
		reason string
		spec   *v1alpha1.ProviderConfigSpec
		raw    []byte
		want   string
	}{
		"HostPort":   {reason: "An endpoint may be host and port.", spec: spec("cs.example.com:443"), raw: good},
		"URL":        {reason: "An endpoint may be a URL.", spec: spec("http://127.0.0.1:8080"), raw: good},
		"Default":    {reason: "Without an endpoint the vendor's is used.", spec: spec(""), raw: good},
		"BadURL":     {reason: "A path would be lost.", spec: spec("http://127.0.0.1/x"), raw: good, want: "spec.endpoint"},
		"NoJSON":     {reason: "What cannot be parsed must not be repeated.", spec: spec(""), raw: []byte("hunter2"), want: "the credentials are no JSON"},
		"Incomplete": {reason: "Half a key is none.", spec: spec(""), raw: []byte(`{"accessKeyId":"ak"}`), want: "lack accessKeyId or accessKeySecret"},
		"NoIdentity": {reason: "An injected identity that is not there is named.", spec: spec(""), raw: nil, want: "ALIBABA_CLOUD_ROLE_ARN"},
		"WrongType":  {reason: "A kubeconfig of Karmada is no account.", spec: &v1alpha1.ProviderConfigSpec{Type: v1alpha1.TypeKarmada}, raw: good, want: `"Karmada"`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := f.Client(tc.spec, tc.raw, "cn-test")
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("\nReason: %s\nClient(...): %v", tc.reason, err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hunter2")):
				t.Errorf("\nReason: %s\nClient(...): want %q, got %v", tc.reason, tc.want, err)
			}
		})
	}
}

func TestTaskError(t *testing.T) {
	e := TaskError("Scale", &Task{State: "fail", Code: "ErrorScale", Message: "OperationDenied.NoStock: ecs.g7.4xlarge is sold out in cn-test-b"})
	if e.Class != cloud.OutOfStock {
		t.Errorf("\nReason: the code of the machines' service travels in the message\nTaskError(...): %s", e.Class)
	}
}
