package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	workv1alpha2 "github.com/karmada-io/karmada/pkg/apis/work/v1alpha2"
	"k8s.io/apimachinery/pkg/api/meta"

	"regionpool.io/provider-regionpool/cluster/local/stack"
	"regionpool.io/provider-regionpool/internal/fleet/explain"
	"regionpool.io/provider-regionpool/internal/fleet/whatif"
)

// TestExplain asks the running fleet at rest: why a workload is where it is, and
// what a surge would bring.
func TestExplain(t *testing.T) {
	p := newPool(t, "explain")
	p.home()
	name := p.workloads() + "/web"

	var e explain.Explanation
	p.eventually(soon, "an explanation", func(ctx context.Context) error {
		if err := ask(ctx, http.MethodGet, "/explain?binding="+name, "", &e); err != nil {
			return err
		}
		if e.Own != normal || e.Cloud != 0 {
			return fmt.Errorf("it says %s", e.Text())
		}
		return nil
	})
	t.Log(e.Text())
	for _, m := range e.Members {
		if !m.Elastic && m.Fits != homeCPU/2-m.Assigned {
			t.Errorf("room for %d in %s, which has %d of %d CPU taken", m.Fits, m.Name, m.Assigned, homeCPU/2)
		}
	}

	var a whatif.Answer
	question := fmt.Sprintf(`{"scale": [{"binding": %q, "replicas": %d}]}`, name, burst)
	if err := ask(t.Context(), http.MethodPost, "/whatif", question, &a); err != nil {
		t.Fatalf("cannot ask: %v", err)
	}
	t.Log(a.Text())
	if a.Unplaced != 0 || len(a.Placements) != 1 || a.Placements[0].After.Members[p.elastic()] != burstAway || len(a.Orders) != 1 {
		t.Errorf("a surge of %d replicas needs %d in %s and nodes there, the answer is %s", burst, burstAway, p.elastic(), a.Text())
	}
	p.runs(soon, "web", normal, 0)
	if n, err := p.accepted(t.Context(), createNodePool); n > 1 || err != nil {
		t.Errorf("a question made %d node pools (%v)", n, err)
	}

	// What was answered is what happens. The short form of the reasons is in the
	// status of the binding, and stays as long as a part is in the cloud.
	p.scale("web", burst)
	p.runs(burstTime, "web", homeCPU, burstAway)
	p.asAnswered("web", a)
	p.eventually(soon, "the reasons in the status", func(ctx context.Context) error {
		rb, err := p.binding(ctx, "Deployment", "web")
		if err != nil {
			return err
		}
		c := meta.FindStatusCondition(rb.Status.Conditions, workv1alpha2.Scheduled)
		for _, want := range []string{"no more fit: ", "idc-a", "Insufficient cpu [NodeResourcesFit ", fmt.Sprintf("in the cloud: %d, which return when the self-built members have had room for them (1 cpu", burstAway)} {
			if c == nil || !strings.Contains(c.Message, want) {
				return fmt.Errorf("want %q in %v", want, c)
			}
		}
		return nil
	})
	p.scale("web", normal)
	p.runs(soon, "web", normal, 0)
}

// ask the running fleet.
func ask(ctx context.Context, method, path, body string, into any) error {
	url := fmt.Sprintf("http://127.0.0.1:%d%s", env.stack.Process(string(stack.Fleet)).Port(), path)
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", res.Status, b)
	}
	return json.Unmarshal(b, into)
}
