package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

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
