package simulation

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestCount(t *testing.T) {
	zones := func(cpus ...string) []*corev1.Node {
		var out []*corev1.Node
		for i, cpu := range cpus {
			out = append(out, node(fmt.Sprintf("n%d", i), label(zoneLabel, fmt.Sprintf("z%d", i%3)), label(rackLabel, fmt.Sprintf("r%d", i%2)), has(corev1.ResourceCPU, cpu)))
		}
		return out
	}
	one := requests(corev1.ResourceCPU, "1")
	type args struct {
		nodes []*corev1.Node
		pods  []*corev1.Pod
		pod   *corev1.Pod
		limit int
	}
	cases := map[string]struct {
		reason string
		args   args
		want   int
	}{
		"None": {
			reason: "No copies are counted when none are asked about.",
			args:   args{nodes: zones("4"), pod: pod(one)},
		},
		"Room": {
			reason: "What is free on each node adds up.",
			args:   args{nodes: zones("4", "2", "8"), pods: []*corev1.Pod{pod(on("n2", "x"), one)}, pod: pod(one), limit: 1000},
			want:   13,
		},
		"Limit": {
			reason: "No more are counted than asked about.",
			args:   args{nodes: zones("4", "2", "8"), pod: pod(one), limit: 5},
			want:   5,
		},
		"Ports": {
			reason: "A host port is taken once on each node.",
			args: args{nodes: zones("4", "2", "8"), limit: 1000, pod: pod(one, func(p *corev1.Pod) {
				p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: 80, ContainerPort: 80}}
			})},
			want: 3,
		},
		"Spread": {
			reason: "The zone that is full first keeps the others to the skew above it.",
			args:   args{nodes: zones("4", "2", "8"), limit: 1000, pod: pod(one, spread(zoneLabel, 1, corev1.DoNotSchedule))},
			want:   8,
		},
		"SpreadTwice": {
			reason: "Two constraints are counted by placing.",
			args:   args{nodes: zones("4", "2", "8", "4"), limit: 1000, pod: pod(one, spread(zoneLabel, 1, corev1.DoNotSchedule), spread(rackLabel, 1, corev1.DoNotSchedule))},
			want:   8,
		},
		"AntiAffinity": {
			reason: "Each zone takes one.",
			args:   args{nodes: zones("4", "2", "8", "4"), limit: 1000, pod: pod(one, antiAffinity(zoneLabel, "web"))},
			want:   3,
		},
		"AntiAffinityTwice": {
			reason: "Each zone and each rack takes one.",
			args: args{nodes: zones("4", "2", "8", "4"), limit: 1000, pod: pod(one, func(p *corev1.Pod) {
				affinity(p).PodAntiAffinity = &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{term(rackLabel, "web"), term(zoneLabel, "web")}}
			})},
			want: 2,
		},
		"Affinity": {
			reason: "The first goes where it scores best, and the others stay in its zone.",
			args:   args{nodes: zones("4", "2", "8", "4"), limit: 1000, pod: pod(one, podAffinity(zoneLabel, "web"))},
			want:   8,
		},
		"Profile": {
			reason: "A pod of another scheduler has no place.",
			args:   args{nodes: zones("4"), limit: 1000, pod: pod(one, func(p *corev1.Pod) { p.Spec.SchedulerName = "other" })},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := fork(t, tc.args.nodes, tc.args.pods)
			got, err := scheduler(t).Count(context.Background(), f, tc.args.pod, tc.args.limit)
			if err != nil {
				t.Fatalf("\n%s\nCount(...): %v", tc.reason, err)
			}
			if got != tc.want {
				t.Errorf("\n%s\nCount(...): want %d, got %d", tc.reason, tc.want, got)
			}
			for i := range f.NumNodes() {
				if f.Changed(i) || len(f.Extra()) > 0 {
					t.Errorf("\n%s\nCount(...): the fork changed", tc.reason)
				}
			}
		})
	}
}
