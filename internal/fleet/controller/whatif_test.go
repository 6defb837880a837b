package controller

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"regionpool.io/provider-regionpool/internal/fleet/explain"
	"regionpool.io/provider-regionpool/internal/fleet/whatif"
	"regionpool.io/provider-regionpool/internal/simulation"
	"regionpool.io/provider-regionpool/internal/snapshot"
)

func TestQuestions(t *testing.T) {
	f, writes := newFleet(t, []client.Object{deployment(), resourceBinding(), capacityPlan(), karmadaCluster("idc-a")}, idcNode())
	ask := func(method, path, from, body string) (int, string) {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
		r.RemoteAddr = from
		w := httptest.NewRecorder()
		f.Questions()[r.URL.Path].ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	const local = "127.0.0.1:1234"
	if code, body := ask(http.MethodGet, "/explain?binding=default/web", local, ""); code != http.StatusServiceUnavailable {
		t.Errorf("\nReason: There was no round\nGET /explain: got %d %s", code, body)
	}
	if _, err := f.Round(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	before := writes.Load()

	code, body := ask(http.MethodGet, "/explain?binding=default/web", local, "")
	var e explain.Explanation
	if err := json.Unmarshal([]byte(body), &e); code != http.StatusOK || err != nil {
		t.Fatalf("\nReason: A workload is explained\nGET /explain: got %d %s (%v)", code, body, err)
	}
	if len(e.Members) != 2 || e.Members[0].Reasons["Insufficient cpu"] != 1 || e.Unplaced != 2 {
		t.Errorf("\nReason: A workload is explained\nGET /explain: got %+v", e)
	}
	code, body = ask(http.MethodPost, "/whatif", local, `{"scale":[{"binding":"default/web","replicas":8}]}`)
	var a whatif.Answer
	if err := json.Unmarshal([]byte(body), &a); code != http.StatusOK || err != nil {
		t.Fatalf("\nReason: A question is answered\nPOST /whatif: got %d %s (%v)", code, body, err)
	}
	if len(a.Orders) != 1 || a.Orders[0].Peak != 3 || a.Unplaced != 0 || a.HourlyCost.After != "4.5" {
		t.Errorf("\nReason: A question is answered\nPOST /whatif: got %s", body)
	}
	cases := map[string]struct {
		reason, method, path, from, body string
		code                             int
		want                             string
	}{
		"Text":    {"For a person", http.MethodGet, "/explain?binding=default/web-deployment&o=text", "[::1]:1", "", http.StatusOK, "why: tiers are filled in their order"},
		"Foreign": {"Others are not answered", http.MethodGet, "/explain?binding=default/web", "10.0.0.7:1", "", http.StatusForbidden, "port-forward"},
		"Method":  {"Nothing is written by a question", http.MethodPost, "/explain?binding=default/web", local, "", http.StatusMethodNotAllowed, "use GET"},
		"Unknown": {"There is no such workload", http.MethodGet, "/explain?binding=default/x", local, "", http.StatusBadRequest, "no pool places"},
		"Typo":    {"Fields that do not exist are told", http.MethodPost, "/whatif", local, `{"scal":[]}`, http.StatusBadRequest, "scal"},
		"Member":  {"There is no such member", http.MethodPost, "/whatif", local, `{"lose":["idc-z"]}`, http.StatusBadRequest, "there are ack, idc-a"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if code, body := ask(tc.method, tc.path, tc.from, tc.body); code != tc.code || !strings.Contains(body, tc.want) {
				t.Errorf("\nReason: %s\n%s %s: want %d with %q, got %d %s", tc.reason, tc.method, tc.path, tc.code, tc.want, code, body)
			}
		})
	}
	if after := writes.Load(); after != before {
		t.Errorf("\nReason: Questions write nothing\nQuestions(): %d writes", after-before)
	}
}

// TestQuestionsWait: a question that takes long does not hold up rounds, is the
// only one that is answered, and a bounded number of others wait for it.
func TestQuestionsWait(t *testing.T) {
	f, _ := newFleet(t, []client.Object{deployment(), resourceBinding(), capacityPlan(), karmadaCluster("idc-a")}, idcNode())
	if _, err := f.Round(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	// Its simulator does not answer until the questioner gives up.
	w := *f.seen.Load()
	var simulating atomic.Int32
	for i := range w.Input.Pools[0].Members {
		w.Input.Pools[0].Members[i].Simulator = simulation.SimulatorFn(func(ctx context.Context, _ *snapshot.Fork, _ *corev1.Pod, _ int) (simulation.Result, error) {
			simulating.Add(1)
			<-ctx.Done()
			return simulation.Result{}, ctx.Err()
		})
	}
	f.seen.Store(&w)
	ctx, giveUp := context.WithCancel(t.Context())
	ask := f.Questions()["/whatif"]
	codes := make(chan int, 2*maxWaiting)
	question := func() {
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/whatif", strings.NewReader(`{"scale":[{"binding":"default/web","replicas":8}]}`))
		r.RemoteAddr = "127.0.0.1:1234"
		w := httptest.NewRecorder()
		ask.ServeHTTP(w, r)
		codes <- w.Code
	}
	for range 2 * maxWaiting {
		go question()
	}
	for range maxWaiting - 1 {
		if code := <-codes; code != http.StatusTooManyRequests {
			t.Errorf("\nReason: No more than %d wait\nPOST /whatif: got %d", maxWaiting, code)
		}
	}
	if err := wait.PollUntilContextTimeout(t.Context(), time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		return simulating.Load() > 0, nil
	}); err != nil {
		t.Fatalf("\nReason: The first is answered at once\nPOST /whatif: nothing is simulated: %v", err)
	}
	for range 3 {
		if _, err := f.Round(t.Context(), time.Now()); err != nil {
			t.Fatalf("\nReason: Rounds are made meanwhile\nRound(...): %v", err)
		}
	}
	if n := simulating.Load(); n != 1 {
		t.Errorf("\nReason: One question is answered at a time\nPOST /whatif: %d are", n)
	}
	giveUp()
	for range 1 + maxWaiting {
		if code := <-codes; code != http.StatusServiceUnavailable {
			t.Errorf("\nReason: Who gives up gets no answer\nPOST /whatif: got %d", code)
		}
	}
}
