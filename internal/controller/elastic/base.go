package elastic

import (
	"context"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
	"regionpool.io/provider-regionpool/internal/clients/cloud"
	"regionpool.io/provider-regionpool/internal/controller/lifecycle"
)

// ReasonFailed of Ready: the cloud could not, or would not, build it.
const ReasonFailed xpv2.ConditionReason = "Failed"

// Waiting is the observation of a resource that nothing can be done about now.
var Waiting = managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true}

// A Base is what the reconciles of all resources of a kind share, and the part
// of them that is the same for all kinds: from no external name to one, and from
// one to the proof that nothing is left.
type Base struct {
	*Options
	// What the kind is, in texts: cluster or node pool.
	What string
	// Host of the managed resources.
	Host client.Client
	// Poller of tasks.
	Poller *lifecycle.Poller
	// Pace of reconciles.
	Pace *lifecycle.Pace
	// Holds of errors that need a person.
	Holds *lifecycle.Holds
	// Record events.
	Record event.Recorder
	// Began is when the first resource was reconciled.
	Began func() time.Time
}

// A Thing at the cloud that may be ours.
type Thing struct {
	ID      string
	Tags    map[string]string
	Created time.Time
}

// Ours are the things that carry the tag of a resource.
func Ours(mg resource.Managed, all []Thing) []lifecycle.Candidate {
	var ours []lifecycle.Candidate
	for _, t := range all {
		if Owned(mg, t.Tags) {
			ours = append(ours, lifecycle.Candidate{ID: t.ID, Created: t.Created})
		}
	}
	return ours
}

// Open a client with the credentials of a resource.
func (b *Base) Open(ctx context.Context, cr resource.ModernManaged, open func(spec *v1alpha1.ProviderConfigSpec, raw []byte) error) error {
	spec, raw, err := b.Resolve(ctx, b.Host, cr)
	if err == nil {
		err = open(spec, raw)
	}
	if err != nil {
		b.Pace.After(cr, 6*b.PollInProgress)
	}
	return err
}

// Forgettable resources are being deleted and nothing was created for them, so
// neither credentials nor anything else need be there.
func Forgettable(cr resource.Managed) bool {
	return meta.WasDeleted(cr) && lifecycle.Untouched(cr)
}

func (b *Base) creation() *lifecycle.Creation {
	return &lifecycle.Creation{Kube: b.Host, Lag: b.ListLag, Clock: b.Clock, Began: b.Began(), Duplicates: func(mg resource.Managed, adopted string, others []string) {
		b.Record.Event(mg, event.Warning("DuplicateFound", errors.Errorf("%s %s is used; %s carry the same tag and are billed as well", b.What, adopted, Names(others))))
	}}
}

// Mendable slows a resource down whose credentials or network a person has to
// mend, and looks sooner than the back-off would.
func (b *Base) Mendable(cr resource.Managed, err error) {
	if cloud.Is(err, cloud.Unauthorised, cloud.Unreachable) {
		b.Pace.After(cr, 6*b.PollInProgress)
	}
}

// Named observes a resource without an external name. It returns true once the
// resource has one, and else what to report.
func (b *Base) Named(ctx context.Context, cr resource.Managed, find lifecycle.FindFn) (bool, managed.ExternalObservation, error) {
	if meta.GetExternalName(cr) != "" {
		return true, Waiting, nil
	}
	if err, left := b.Holds.Held(cr.GetUID(), HoldKey(cr, "create")); err != nil && !meta.WasDeleted(cr) {
		cr.SetConditions(lifecycle.NotReady(ReasonFailed, err.Error()))
		b.Pace.After(cr, left)
		return false, managed.ExternalObservation{}, err
	}
	verdict, err := b.creation().Look(ctx, cr, find)
	if err != nil {
		return false, managed.ExternalObservation{}, err
	}
	switch verdict {
	case lifecycle.Absent:
		return false, managed.ExternalObservation{}, nil
	case lifecycle.Waiting:
		cr.SetConditions(xpv2.Creating().WithMessage("It is not known whether the cloud has carried out the creation: waiting until its list must show it"))
		b.Pace.After(cr, b.PollInProgress)
		return false, Waiting, nil
	case lifecycle.Adopted:
	}
	return true, Waiting, nil
}

// Gone reports whether a resource that the cloud says is not there is gone. That
// is believed when the list agrees.
func (b *Base) Gone(ctx context.Context, cr resource.Managed, find lifecycle.FindFn) (bool, error) {
	id := meta.GetExternalName(cr)
	list, err := find(ctx)
	if err != nil {
		return false, errors.Wrapf(err, "cannot confirm that the %s is gone", b.What)
	}
	for _, c := range list {
		if c.ID == id {
			// The list lags behind.
			b.Pace.After(cr, b.PollInProgress)
			return false, nil
		}
	}
	if len(list) > 0 {
		// One more that carries our tag. It is ours to use, or to delete.
		b.Record.Event(cr, event.Warning("DuplicateFound", errors.Errorf("%s %s is gone but %s carries the same tag", b.What, id, list[0].ID)))
		b.Pace.After(cr, b.PollInProgress)
		return false, b.creation().Persist(ctx, cr, list[0].ID)
	}
	verdict, err := b.creation().Missing(ctx, cr, find)
	if err != nil {
		return false, errors.Wrapf(err, "cannot confirm that the %s is gone", b.What)
	}
	if verdict != lifecycle.Absent {
		// Not there yet.
		if !meta.WasDeleted(cr) {
			cr.SetConditions(xpv2.Creating())
		}
		b.Pace.After(cr, b.PollInProgress)
		return false, nil
	}
	b.Poller.Forget(client.ObjectKeyFromObject(cr))
	return true, nil
}

// Create a resource at the cloud, exactly once.
func (b *Base) Create(ctx context.Context, cr resource.Managed, find lifecycle.FindFn, create func(ctx context.Context) (id, task string, err error)) error {
	err := b.creation().Create(ctx, cr, find, func(ctx context.Context) (string, error) {
		id, task, err := create(ctx)
		if err != nil {
			return "", err
		}
		lifecycle.SaveOperation(cr, b.NewOperation("Create", task))
		return id, nil
	})
	if cloud.Is(err, cloud.WrongState) {
		b.Pace.After(cr, b.PollInProgress)
	}
	b.Mendable(cr, err)
	return b.Holds.Note(cr.GetUID(), HoldKey(cr, "create"), err)
}

// Operation of a resource, as it was last seen: in the status, or, at the first
// look after Create, whose changes to the status are lost, in the annotation.
func Operation(cr resource.Managed, seen, id string, op *v1alpha1.Operation) *v1alpha1.Operation {
	if seen != id {
		return lifecycle.LoadOperation[v1alpha1.Operation](cr)
	}
	return op
}

// A Deletion makes one step of the deletion of a resource. A step that has to
// wait is no error: the condition says what for.
type Deletion struct {
	// Unasked says that it goes on without the cluster's API server.
	Unasked bool
}

// Delete makes a step, unless there is nothing that the cloud has shown: then
// the message says what is waited for.
func (b *Base) Delete(cr resource.Managed, d *Deletion, unseen string, step func() error) error {
	b.Pace.After(cr, b.PollInProgress)
	cr.SetConditions(xpv2.Deleting())
	if unseen != "" {
		cr.SetConditions(lifecycle.DeletionGoesOn(unseen))
		return nil
	}
	was := cr.GetCondition(lifecycle.TypeDeletionBlocked)
	err := step()
	if d.Unasked {
		// The next pass has to know it as well.
		cr.SetConditions(was)
	}
	return err
}

// NotAnswered reports whether the deletion has to wait for the API server of the
// cluster, which did not answer. After a long silence it goes on, with an event.
func (b *Base) NotAnswered(cr resource.Managed, d *Deletion, waits, goesOn string, reason event.Reason) bool {
	if !b.Silent(cr) {
		cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonNoAnswer, waits))
		return true
	}
	d.Unasked = true
	b.Record.Event(cr, event.Warning(reason, errors.New(goesOn)))
	return false
}

// Deleting says what became of the order to delete a resource. Where protection
// is in the way it is switched off.
func Deleting(cr resource.Managed, what string, err error, unprotect func() error) error {
	switch {
	case err == nil:
		cr.SetConditions(lifecycle.DeletionGoesOn("The cloud is deleting the " + what))
		return nil
	case cloud.Is(err, cloud.Gone):
		return nil
	case cloud.Is(err, cloud.Protected):
		return unprotect()
	case cloud.Is(err, cloud.WrongState):
		cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonWaiting, "The cloud does not delete the "+what+" yet: "+err.Error()))
		return nil
	default:
		return errors.Wrapf(err, "cannot delete the %s", what)
	}
}

// Unprotecting says what became of the order to switch deletion protection off.
// The next pass reads it back.
func Unprotecting(cr resource.Managed, err error) error {
	if cloud.Is(err, cloud.WrongState) {
		cr.SetConditions(lifecycle.DeletionBlocked(lifecycle.ReasonWaiting, "Deletion protection cannot be switched off yet: "+err.Error()))
		return nil
	}
	if err != nil {
		return errors.Wrap(err, "cannot switch deletion protection off")
	}
	cr.SetConditions(lifecycle.DeletionGoesOn("Switching deletion protection off"))
	return nil
}
