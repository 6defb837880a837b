package scheduler

import (
	"fmt"
	"testing"
	"time"
)

func TestTmpScale(t *testing.T) {
	for _, mode := range []string{"rest", "unseen", "unmet", "drain"} {
		w := newTester(t)
		w.member("idc-a", 0, nodes(200, "a", "64")...)
		w.member("idc-b", 0, nodes(200, "b", "64")...)
		m := w.member("ack", 1, nodes(50, "c", "64")...)
		_ = m
		if mode == "drain" {
			w.in.Pools[0].Members[2].State = Draining
		}
		for i := range 5000 {
			name := fmt.Sprintf("w%d", i)
			cpu := "1"
			if mode == "unmet" && i%2 == 0 {
				w.binding(name, 4, "70", nil)
				continue
			}
			as := targetsOf{"idc-a": 2, "idc-b": 2}
			if i%20 == 0 {
				as = targetsOf{"ack": 4}
			}
			w.binding(name, 4, cpu, as)
			if mode != "unseen" {
				for mem, n := range as {
					for k := range n {
						w.pod(mem, name, w.nodes[mem][(i+int(k))%len(w.nodes[mem])].Name, cpu, true)
					}
				}
			}
			if i%2 == 1 {
				w.binding("svc"+name, 0, "0", targetsOf{"idc-a": 0, "idc-b": 0, "ack": 0}, func(b *Binding) { b.Divided = false; b.Template = nil })
			}
		}
		w.round()
		s := time.Now()
		out := w.round()
		fmt.Println(mode, time.Since(s), len(out.Demands))
	}
}
