package v1alpha1

// AnnotationSlices of a workload that starts as a whole says into how many equal
// parts its author allows it to be divided. Each part has as many pods of each
// component, and a member of its own or with others; all of them start, or
// nothing. Without it the workload is in one member.
const AnnotationSlices = "fleet.regionpool.io/slices"

// PlacementWeights of the one function by which two placements of the workloads
// that wait are compared. A placement that leaves fewer replicas of a higher
// priority without a place is better whatever the rest costs; of what remains the
// sum counts, and the lowest is best. A term that weighs 0 does not count.
//
// Replicas that have a place are no term, because no weight could make them move
// for others: they keep it until their member drains, or until there is room for
// them at home.
// +kubebuilder:validation:XValidation:rule="!has(self.unplaced) || !has(self.moving) || self.unplaced >= self.moving",message="unplaced is below moving: a replica that runs nowhere is worse than one that runs where it should not"
type PlacementWeights struct {
	// Unplaced is for each replica of the lowest priority that waits, and runs
	// nowhere.
	// +kubebuilder:default=100000000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000
	// +optional
	Unplaced *int64 `json:"unplaced,omitempty"`

	// Moving is for each replica that runs in a member which drains, and for
	// which there is no substitute.
	// +kubebuilder:default=1000000
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000000
	// +optional
	Moving *int64 `json:"moving,omitempty"`

	// Cloud is for each core and each tier that a replica is away from the
	// self-built members. 4 GiB of memory count as a core, a device such as a GPU
	// as ten.
	// +kubebuilder:default=10000
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000000
	// +optional
	Cloud *int64 `json:"cloud,omitempty"`

	// Spread is for each replica in the fullest member of a workload that spreads
	// its pods over zones or regions.
	// +kubebuilder:default=100
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000000
	// +optional
	Spread *int64 `json:"spread,omitempty"`

	// Hole is for each node with free devices that gets replicas that need none.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000000
	// +optional
	Hole *int64 `json:"hole,omitempty"`
}
