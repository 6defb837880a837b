package simulation

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

const header = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"

func TestNewFromYAML(t *testing.T) {
	named := func(name string) podMod { return func(p *corev1.Pod) { p.Spec.SchedulerName = name } }
	port := func(p *corev1.Pod) {
		p.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 80, Protocol: corev1.ProtocolTCP}}
	}
	const two = header + `
profiles:
- schedulerName: default-scheduler
- schedulerName: packed
  plugins: {multiPoint: {disabled: [{name: NodePorts}]}}
  pluginConfig:
  - name: NodeResourcesFit
    args: {scoringStrategy: {type: MostAllocated, resources: [{name: cpu, weight: 1}]}}
- schedulerName: fenced
  pluginConfig:
  - name: NodeAffinity
    args:
      addedAffinity:
        requiredDuringSchedulingIgnoredDuringExecution:
          nodeSelectorTerms: [{matchExpressions: [{key: disk, operator: In, values: [ssd]}]}]
`
	cases := map[string]struct {
		reason string
		config string
		pod    *corev1.Pod
		n      int
		nodes  map[string]int
		// err is in the error, message is that of the copy without a place.
		err, message string
	}{
		"Default":     {reason: "Without a configuration kube-scheduler has its defaults.", pod: pod(port), n: 5, nodes: map[string]int{"a": 1, "b": 1}, message: "0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports."},
		"FirstOfTwo":  {reason: "A pod that names no profile is of the default one.", config: two, pod: pod(port), n: 5, nodes: map[string]int{"a": 1, "b": 1}, message: "0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports."},
		"Disabled":    {reason: "What a profile disables does not refuse.", config: two, pod: pod(named("packed"), port, requests(corev1.ResourceCPU, "3")), n: 2, nodes: map[string]int{"a": 1, "b": 1}},
		"Scored":      {reason: "A profile scores as its arguments say.", config: two, pod: pod(named("packed"), requests(corev1.ResourceCPU, "1")), n: 4, nodes: map[string]int{"a": 4}},
		"Args":        {reason: "A profile filters as its arguments say.", config: two, pod: pod(named("fenced"), requests(corev1.ResourceCPU, "1")), n: 5, nodes: map[string]int{"b": 4}, message: "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match scheduler-enforced node affinity."},
		"NoProfile":   {reason: "A pod of a profile that is not there waits for ever.", config: two, pod: pod(named("other")), n: 1, message: `0/2 nodes are available: no scheduler profile is named "other".`},
		"Extenders":   {reason: "Extenders are asked over the network, and only by the member.", config: header + "extenders: [{urlPrefix: 'http://x', filterVerb: filter, weight: 1}]", err: "extenders"},
		"Plugin":      {reason: "Plugins that kube-scheduler does not bring along are not here either.", config: header + "profiles: [{schedulerName: x, plugins: {multiPoint: {enabled: [{name: Coscheduling}]}}}]", err: "Coscheduling"},
		"Field":       {reason: "A field that does not exist is told.", config: header + "profils: []", err: `unknown field "profils"`},
		"Kind":        {reason: "Something else is told.", config: "apiVersion: v1\nkind: Pod\n", err: `no kind "Pod"`},
		"Other":       {reason: "Arguments alone are no configuration.", config: "apiVersion: kubescheduler.config.k8s.io/v1\nkind: NodeAffinityArgs\n", err: "it is a NodeAffinityArgs"},
		"Invalid":     {reason: "It is checked as kube-scheduler does.", config: header + "percentageOfNodesToScore: 101", err: "percentageOfNodesToScore"},
		"InvalidArgs": {reason: "Arguments of plugins are checked too.", config: header + "profiles: [{schedulerName: x, pluginConfig: [{name: InterPodAffinity, args: {hardPodAffinityWeight: 101}}]}]", err: "hardPodAffinityWeight"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s, err := NewFromYAML(tc.config)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("\nReason: %s\nNewFromYAML(...): want an error with %q, got %v", tc.reason, tc.err, err)
				}
				return
			}
			if err != nil {
				t.Fatalf("\nReason: %s\nNewFromYAML(...): %v", tc.reason, err)
			}
			defer s.Close()
			f := fork(t, []*corev1.Node{node("a", label("disk", "hdd")), node("b", label("disk", "ssd"))}, nil)
			got, err := s.Place(context.Background(), f, tc.pod, tc.n)
			if err != nil {
				t.Fatalf("\nReason: %s\nPlace(...): %v", tc.reason, err)
			}
			for n, want := range tc.nodes {
				if got.Nodes[n] != want {
					t.Errorf("\nReason: %s\nPlace(...): want %d on node %s, got %d", tc.reason, want, n, got.Nodes[n])
				}
			}
			if len(got.Nodes) != len(tc.nodes) || got.Message != tc.message {
				t.Errorf("\nReason: %s\nPlace(...): want %v %q, got %v %q", tc.reason, tc.nodes, tc.message, got.Nodes, got.Message)
			}
		})
	}
}
