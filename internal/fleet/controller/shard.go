package controller

import "slices"

// serves reports whether a pool is for this fleet to decide about. Of other pools
// nothing is kept, also not what their members hold.
func (o *Options) serves(pool string) bool {
	return len(o.Pools) == 0 || slices.Contains(o.Pools, pool)
}
