package lifecycle

import (
	"context"
	"slices"
	"strings"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"

	"regionpool.io/provider-regionpool/internal/clients/cloud"
)

// AnnotationCreateUnknown holds the time of a create call whose outcome is not
// known. It is empty or absent if the outcome of the last one is.
const AnnotationCreateUnknown = "regionpool.io/create-unknown-since"

// A Candidate is a thing in the cloud that carries the tag of the resource.
type Candidate struct {
	ID      string
	Created time.Time
}

// A FindFn lists the things in the cloud that have the name and the tag of a
// managed resource. Its answer may lag behind writes.
type FindFn func(ctx context.Context) ([]Candidate, error)

// A CreateFn makes the call that creates a thing and returns its id.
type CreateFn func(ctx context.Context) (id string, err error)

// A Verdict on a resource that has no external name.
type Verdict int

const (
	// Absent resources may be created, or forgotten.
	Absent Verdict = iota
	// Waiting resources may turn out to exist: a create call was made whose
	// outcome is not known, and the list has not had the time to show it.
	Waiting
	// Adopted resources were found and have an external name now.
	Adopted
)

// A Creation creates things exactly once in clouds that know no client token.
//
// Everything created carries a tag with the UID of the managed resource. Before
// each create call the cloud is asked for that tag. After a call whose outcome
// is not known (the answer was lost, or this process was killed before it could
// write down the id) nothing is created until the list has been looked at twice,
// the second time after its lag. What is found is adopted.
type Creation struct {
	// Kube client to persist the external name with.
	Kube client.Client
	// Lag of lists behind writes.
	Lag time.Duration
	// Clock to wait by.
	Clock clock.PassiveClock
	// Began is when this process began to reconcile, and its predecessor had
	// ended: an interrupted call was made before.
	Began time.Time
	// Duplicates is told about further things with the same tag. May be nil.
	Duplicates func(mg resource.Managed, adopted string, others []string)
}

// Look whether a resource without an external name exists nevertheless. A
// resource that no create call was made for is absent without asking the cloud.
func (c *Creation) Look(ctx context.Context, mg resource.Managed, find FindFn) (Verdict, error) {
	since, ok := attempted(mg)
	if !ok {
		return Absent, nil
	}
	if since.Before(c.Began) {
		// Throttling may have kept the call back until just before the crash.
		since = c.Began
	}

	// This is the first look if the attempt was just now. Another follows after
	// the lag, and Create makes one more.
	id, err := c.find(ctx, mg, find)
	if err != nil {
		return Waiting, err
	}
	if id != "" {
		return Adopted, c.Persist(ctx, mg, id)
	}

	lag := c.Lag
	if meta.WasDeleted(mg) {
		// Nobody will look again once the resource is gone.
		lag *= 2
	}
	if c.Clock.Since(since) < lag {
		return Waiting, nil
	}
	return Absent, nil
}

// Missing decides on a resource whose external name is known neither to the cloud
// nor to its list. A thing that was just created may not be seen yet, whether or
// not the resource is being deleted by now. And where an earlier one was lost,
// another may be on its way.
func (c *Creation) Missing(ctx context.Context, mg resource.Managed, find FindFn) (Verdict, error) {
	if c.Clock.Since(meta.GetExternalCreateSucceeded(mg)) < 2*c.Lag+time.Second {
		return Waiting, nil
	}
	return c.Look(ctx, mg, find)
}

// Untouched reports whether nothing exists at the cloud because of a resource:
// it has no external name, and every create call that was made for it is known
// to have been refused.
func Untouched(mg resource.Managed) bool {
	_, ok := attempted(mg)
	return !ok && meta.GetExternalName(mg) == ""
}

// attempted reports when the last create call was made whose outcome is not
// known.
func attempted(mg resource.Managed) (time.Time, bool) {
	since, err := time.Parse(time.RFC3339Nano, mg.GetAnnotations()[AnnotationCreateUnknown])
	ok := err == nil
	if meta.ExternalCreateIncomplete(mg) {
		// Written just before Create was called, in whole seconds. It may be
		// later than the doubt that an earlier call has left.
		if t := meta.GetExternalCreatePending(mg).Add(time.Second); !ok || t.After(since) {
			since, ok = t, true
		}
	}
	return since, ok
}

// Create the thing, unless it exists. The external name is set in either case;
// the caller persists the annotations, also if there is an error.
func (c *Creation) Create(ctx context.Context, mg resource.Managed, find FindFn, create CreateFn) error {
	id, err := c.find(ctx, mg, find)
	if err != nil {
		return err
	}
	if id == "" {
		id, err = create(ctx)
	}
	if err != nil {
		unknown := ""
		if !cloud.Definite(err) {
			unknown = c.Clock.Now().UTC().Format(time.RFC3339Nano)
		}
		meta.AddAnnotations(mg, map[string]string{AnnotationCreateUnknown: unknown})
		return err
	}
	meta.SetExternalName(mg, id)
	if mg.GetAnnotations()[AnnotationCreateUnknown] != "" {
		// Emptied, not removed: the runtime merges annotations after a conflict.
		meta.AddAnnotations(mg, map[string]string{AnnotationCreateUnknown: ""})
	}
	return nil
}

// find the oldest thing with the tag. Of several the oldest is the one that
// others may refer to already.
func (c *Creation) find(ctx context.Context, mg resource.Managed, find FindFn) (string, error) {
	all, err := find(ctx)
	if err != nil {
		return "", errors.Wrap(err, "cannot look for what was created before")
	}
	if len(all) == 0 {
		return "", nil
	}
	slices.SortFunc(all, func(a, b Candidate) int {
		if d := a.Created.Compare(b.Created); d != 0 {
			return d
		}
		return strings.Compare(a.ID, b.ID)
	})
	if len(all) > 1 && c.Duplicates != nil {
		others := make([]string, 0, len(all)-1)
		for _, o := range all[1:] {
			others = append(others, o.ID)
		}
		c.Duplicates(mg, all[0].ID, others)
	}
	return all[0].ID, nil
}

// Persist the external name of something that was found.
func (c *Creation) Persist(ctx context.Context, mg resource.Managed, id string) error {
	after := mg.DeepCopyObject().(resource.Managed)
	meta.SetExternalName(after, id)
	meta.AddAnnotations(after, map[string]string{AnnotationCreateUnknown: ""})
	before := mg.DeepCopyObject().(resource.Managed)
	if err := c.Kube.Patch(ctx, after, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return errors.Wrap(err, "cannot save the external name")
	}
	mg.SetAnnotations(after.GetAnnotations())
	mg.SetResourceVersion(after.GetResourceVersion())
	return nil
}
