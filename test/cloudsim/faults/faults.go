// Package faults decides which calls and which objects of a simulated cloud go
// wrong. Rules are added and removed while the simulator runs; what a fault does
// is up to the code that asks for it.
package faults

import (
	"fmt"
	"slices"
	"strconv"
	"sync"

	"regionpool.io/provider-regionpool/test/cloudsim/random"
)

// A Kind of fault.
type Kind string

// Faults of the transport and of the gateway. They concern one call.
const (
	// DropAfterAccept carries the call out, then closes the connection without
	// an answer.
	DropAfterAccept Kind = "drop_after_accept"
	// Delay waits before the call is handled: args.seconds, real, default 2.
	Delay Kind = "delay"
	// TimeoutBefore never handles the call and holds the connection for
	// args.seconds, real, default 60, or until the caller gives up.
	TimeoutBefore Kind = "timeout_before"
	// HTTP500JSON answers 500 InternalError. With args.accept=true the call
	// takes effect all the same. So for HTTP502HTML and HTTP503.
	HTTP500JSON Kind = "http_500_json"
	// HTTP502HTML answers 502 with a page of HTML.
	HTTP502HTML Kind = "http_502_html"
	// HTTP503 answers 503 ServiceUnavailable.
	HTTP503 Kind = "http_503"
	// TruncateBody carries the call out and cuts the answer in half.
	TruncateBody Kind = "truncate_body"
	// Throttle answers args.code, default Throttling.User.
	Throttle Kind = "throttle"
	// Quota answers args.code, default QuotaExceeded.Cluster for clusters and
	// QuotaExceeded.Node for the rest.
	Quota Kind = "quota"
	// Balance answers InsufficientBalance.
	Balance Kind = "balance"
	// AuthDenied answers args.code, default ErrorCheckAcl.
	AuthDenied Kind = "auth_denied"
	// MissingAuth answers MissingAuth.AliyunOOSLifecycleHook4CSRole to calls
	// that set a desired size.
	MissingAuth Kind = "missing_auth"
	// ClockSkew makes the gateway's clock wrong by args.seconds, default 1200.
	ClockSkew Kind = "clock_skew"
	// STSExpire makes the gateway take the session token for expired.
	STSExpire Kind = "sts_expire"
)

// Faults of the market's APIs, by region, zone, instanceType and charge (spot or
// ondemand).
const (
	// WrongPrice multiplies the price an API says by args.factor, for example 0,
	// -1 or 100; NaN makes it no number at all. The bill is not concerned.
	WrongPrice Kind = "wrong_price"
	// WrongStock makes an API say args.status whatever there is: Available, the
	// default, or SoldOut.
	WrongStock Kind = "wrong_stock"
)

// Faults of asynchronous operations. They are decided when the call is accepted.
const (
	// TaskFail ends the task in state args.state ("failed", the default, or
	// "fail"), with args.code and args.message, and without its effect.
	TaskFail Kind = "task_fail"
	// TaskSuccessButUnchanged ends the task well, without its effect.
	TaskSuccessButUnchanged Kind = "task_success_but_unchanged"
	// StuckTask leaves the task running for ever. The operation ends
	// nevertheless, unless args.operation=stuck.
	StuckTask Kind = "stuck_task"
	// CreateFailedState brings a new cluster to state failed.
	CreateFailedState Kind = "create_failed_state"
	// DeleteFailed brings a deletion (of a cluster or a node pool) to state
	// delete_failed.
	DeleteFailed Kind = "delete_failed"
	// LeaveBehind makes a deletion of a cluster leave things of it behind:
	// args.kinds of the ledger, separated by commas, by default what belongs to
	// its network. Kind eci-pod can be left as well.
	LeaveBehind Kind = "leave_behind"
	// DependencyViolation refuses DeleteCluster; set times to say how often.
	DependencyViolation Kind = "dependency_violation"
	// ProtectionOn creates the cluster with deletion protection whatever the
	// caller asked for.
	ProtectionOn Kind = "protection_on"
	// DuplicateDefaultNodePool makes ACK add a pool default-nodepool with
	// args.nodes nodes, default 1, to a new cluster.
	DuplicateDefaultNodePool Kind = "duplicate_default_nodepool"
	// Desired1Starts2 starts one node more than asked for.
	Desired1Starts2 Kind = "desired1_starts2"
	// KubeconfigUnresolvable hands out a kubeconfig whose server does not
	// resolve.
	KubeconfigUnresolvable Kind = "kubeconfig_unresolvable"
	// EndpointAddressEmpty leaves the API server addresses of a cluster empty.
	EndpointAddressEmpty Kind = "endpoint_address_empty"
)

// Faults of nodes. Their action is "Node"; nth counts nodes as they start.
const (
	// NodeNeverReady starts an ECS that never registers.
	NodeNeverReady Kind = "node_never_ready"
	// NodeOffline takes the node offline args.seconds (virtual, default 60)
	// after it turned Ready.
	NodeOffline Kind = "node_offline"
	// NodeFlap does the same, and brings it back after as long again.
	NodeFlap Kind = "node_flap"
	// SpotReclaim gives notice args.seconds after a spot instance turned Ready
	// that it will be taken back, and takes it back after the time the cloud
	// leaves.
	SpotReclaim Kind = "spot_reclaim"
	// PDBBlock makes drains of the node hang as a PodDisruptionBudget would.
	PDBBlock Kind = "pdb_block"
)

// NodeAction is the action of node faults.
const NodeAction = "Node"

var known = []Kind{
	DropAfterAccept, Delay, TimeoutBefore, HTTP500JSON, HTTP502HTML, HTTP503, TruncateBody, Throttle, Quota, Balance,
	AuthDenied, MissingAuth, ClockSkew, STSExpire, TaskFail, TaskSuccessButUnchanged, StuckTask, CreateFailedState,
	DeleteFailed, DependencyViolation, ProtectionOn, DuplicateDefaultNodePool, Desired1Starts2, KubeconfigUnresolvable,
	WrongPrice, WrongStock, LeaveBehind,
	EndpointAddressEmpty, NodeNeverReady, NodeOffline, NodeFlap, SpotReclaim, PDBBlock,
}

// A Rule switches a fault on.
type Rule struct {
	// ID names the rule; one is given if it is empty.
	ID   string `json:"id,omitempty"`
	Kind Kind   `json:"kind"`
	// Action the rule applies to, for example CreateCluster. Empty means all.
	Action string `json:"action,omitempty"`
	// Nth call that matches, counted from 1 when the rule was added. 0 means
	// every one.
	Nth int `json:"nth,omitempty"`
	// Times the rule fires before it is spent. 0 means no end.
	Times int `json:"times,omitempty"`
	// Prob is the probability that a matching call is hit. 0 means 1.
	Prob float64 `json:"prob,omitempty"`
	// Selector narrows the rule: cloud (alibaba or tencent), service (of
	// tencent: tke, as, cvm and so on), region, cluster, nodePool, akid, name,
	// instanceType, zone, charge, method. All given must be equal.
	Selector map[string]string `json:"selector,omitempty"`
	// Args of the fault.
	Args map[string]string `json:"args,omitempty"`

	// Seen and Fired count matching calls and hits.
	Seen  int `json:"seen"`
	Fired int `json:"fired"`
}

// Seconds returns the argument "seconds", or the supplied default.
func (r *Rule) Seconds(def float64) float64 {
	if f, err := strconv.ParseFloat(r.Args["seconds"], 64); err == nil {
		return f
	}
	return def
}

// Arg returns an argument, or the supplied default.
func (r *Rule) Arg(name, def string) string {
	if v, ok := r.Args[name]; ok {
		return v
	}
	return def
}

// A Set of rules.
type Set struct {
	random *random.Source

	mu    sync.Mutex
	next  int
	rules []*Rule
}

// New returns an empty Set.
func New(r *random.Source) *Set { return &Set{random: r} }

// Add a rule, or replace the one with the same id. It returns the rule's id.
func (s *Set) Add(r Rule) (string, error) {
	if !slices.Contains(known, r.Kind) {
		return "", fmt.Errorf("unknown fault %q", r.Kind)
	}
	if r.Prob < 0 || r.Prob > 1 {
		return "", fmt.Errorf("probability %v of fault %q is not in [0,1]", r.Prob, r.Kind)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	if r.ID == "" {
		r.ID = fmt.Sprintf("f%d", s.next)
	}
	r.Seen, r.Fired = 0, 0
	s.rules = slices.DeleteFunc(s.rules, func(o *Rule) bool { return o.ID == r.ID })
	s.rules = append(s.rules, &r)
	return r.ID, nil
}

// Remove a rule by id; an empty id removes all.
func (s *Set) Remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = slices.DeleteFunc(s.rules, func(o *Rule) bool { return id == "" || o.ID == id })
}

// List returns a copy of the rules.
func (s *Set) List() []Rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Rule, 0, len(s.rules))
	for _, r := range s.rules {
		out = append(out, *r)
	}
	return out
}

// A Subject is the call or the object that may go wrong.
type Subject struct {
	Action string
	Attrs  map[string]string
}

// Take returns the first rule of the kind that hits the subject, or nil. It
// counts the subject against every rule of the kind that it matches.
func (s *Set) Take(k Kind, sub Subject) *Rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	var hit *Rule
	for _, r := range s.rules {
		if r.Kind != k || !r.matches(sub) {
			continue
		}
		r.Seen++
		switch {
		case r.Times > 0 && r.Fired >= r.Times,
			r.Nth > 0 && r.Seen != r.Nth,
			r.Prob > 0 && r.Prob < 1 && s.random.Float("fault/"+r.ID) >= r.Prob:
			continue
		}
		if hit == nil {
			r.Fired++
			c := *r
			hit = &c
		}
	}
	return hit
}

func (r *Rule) matches(sub Subject) bool {
	if r.Action != "" && r.Action != sub.Action {
		return false
	}
	for k, v := range r.Selector {
		if sub.Attrs[k] != v {
			return false
		}
	}
	return true
}
