package ack

import (
	"fmt"
	"net/http"
	"time"

	"regionpool.io/provider-regionpool/test/cloudsim/faults"
)

// outcome of an asynchronous operation, decided when it is accepted.
type outcome int

const (
	effective outcome = iota
	failing
	unchanged
)

// A task is an asynchronous operation.
type task struct {
	id, kind, account    string
	cluster              string
	target, targetType   string
	state                string // running, success, failed or fail
	stage                string
	created, updated     string
	outcome              outcome
	failState            string
	failure              *taskError
	stuckTask, stuckWork bool
	stages               []taskStage
	events               []taskEvent
	results              []map[string]string
	order                int

	// Of scaling tasks: nodes it still waits for, why it came short, and nodes
	// that failed.
	waiting map[string]bool
	short   *taskError
	failed  []string
}

// begin an asynchronous operation. The faults of tasks are decided here.
func (s *Server) begin(c *call, kind, cluster, targetType, target string) *task {
	now := s.stamp()
	t := &task{
		id: "T-" + s.Random.Hex("task-id", 24), kind: kind, account: c.account, cluster: cluster, target: target, targetType: targetType,
		state: "running", created: now, updated: now, failState: "failed", order: len(s.tasks), waiting: map[string]bool{},
	}
	if f := s.take(faults.TaskFail, c); f != nil {
		t.outcome = failing
		t.failState = f.Arg("state", "failed")
		t.failure = &taskError{Code: f.Arg("code", "InternalError"), Message: f.Arg("message", "the task failed")}
	} else if f := s.take(faults.TaskSuccessButUnchanged, c); f != nil {
		t.outcome = unchanged
	}
	if f := s.take(faults.StuckTask, c); f != nil {
		t.stuckTask = true
		t.stuckWork = f.Arg("operation", "") == "stuck"
	}
	s.tasks[t.id] = t
	return t
}

// background begins a task the cloud starts by itself.
func (s *Server) background(kind, account, cluster, targetType, target string) *task {
	now := s.stamp()
	t := &task{
		id: "T-" + s.Random.Hex("task-id", 24), kind: kind, account: account, cluster: cluster, target: target, targetType: targetType,
		state: "running", created: now, updated: now, failState: "failed", order: len(s.tasks), waiting: map[string]bool{},
	}
	s.tasks[t.id] = t
	return t
}

// later runs the operation's work after d, unless a fault holds it for ever.
func (s *Server) later(t *task, d time.Duration, f func()) {
	if t.stuckWork {
		return
	}
	s.After(d, f)
}

// enter a stage of a task.
func (s *Server) enter(t *task, stage string) {
	now := s.stamp()
	if n := len(t.stages); n > 0 && t.stages[n-1].EndTime == "" {
		t.stages[n-1].State, t.stages[n-1].EndTime = "success", now
	}
	t.stage, t.updated = stage, now
	t.stages = append(t.stages, taskStage{State: "running", Message: stage, StartTime: now, Outputs: map[string]any{}})
}

// finish a task, with an error or without. The outcome it was given at the
// start overrides both.
func (s *Server) finish(t *task, e *taskError) {
	if t.stuckTask || t.state != "running" {
		return
	}
	if t.outcome == failing {
		e = t.failure
	}
	now := s.stamp()
	t.updated = now
	t.state = "success"
	if e != nil {
		t.state, t.failure = t.failState, e
		t.events = append(t.events, taskEvent{Action: t.kind, Level: "Error", Message: e.Message, Reason: e.Code, Source: "task", Timestamp: now})
	}
	if n := len(t.stages); n > 0 {
		t.stages[n-1].State, t.stages[n-1].EndTime = t.state, now
	}
}

func (t *task) view() taskView {
	v := taskView{
		TaskID: t.id, TaskType: t.kind, State: t.state, ClusterID: t.cluster, Created: t.created, Updated: t.updated,
		CurrentStage: t.stage, Target: map[string]string{"id": t.target, "type": t.targetType},
		Stages: append([]taskStage{}, t.stages...), Events: append([]taskEvent{}, t.events...),
		Parameters: map[string]any{}, TaskResult: append([]map[string]string{}, t.results...),
	}
	if t.state != "running" && t.state != "success" {
		v.Error = t.failure
	}
	return v
}

func (s *Server) describeTask(c *call) (int, any, error) {
	t := s.tasks[c.vars["task"]]
	if t == nil || t.account != c.account {
		return 0, nil, fail(http.StatusNotFound, "ErrorTaskNotFound", "task not found: %s", c.vars["task"])
	}
	c.entry.Cluster = t.cluster
	return http.StatusOK, t.view(), nil
}

// operateTask answers cancel, pause and resume. ACK refuses them for the tasks
// that exist here.
func (s *Server) operateTask(c *call) (int, any, error) {
	t := s.tasks[c.vars["task"]]
	if t == nil || t.account != c.account {
		return 0, nil, fail(http.StatusNotFound, "ErrorTaskNotFound", "task not found: %s", c.vars["task"])
	}
	return 0, nil, fail(http.StatusBadRequest, "TaskOperationNotSupported", "task %s of type %s does not support this operation", t.id, t.kind)
}

func (s *Server) describeTasks(c *call) (int, any, error) {
	if _, err := s.cluster(c); err != nil {
		return 0, nil, err
	}
	var own []*task
	for _, t := range s.tasks {
		if t.cluster == c.vars["cluster"] && t.account == c.account {
			own = append(own, t)
		}
	}
	sortBy(own, func(t *task) string { return fmt.Sprintf("%09d", 999999999-t.order) })
	page, info, err := paginate(c, own, "page_number", "page_size")
	if err != nil {
		return 0, nil, err
	}
	out := []map[string]any{}
	for _, t := range page {
		v := t.view()
		out = append(out, map[string]any{
			"task_id": v.TaskID, "task_type": v.TaskType, "state": v.State, "created": v.Created, "updated": v.Updated, "error": v.Error,
		})
	}
	return http.StatusOK, map[string]any{"tasks": out, "page_info": info}, nil
}
