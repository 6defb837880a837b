package config

import "time"

// ECIType is the stock type of ECI capacity, counted in vCPU.
const ECIType = "eci"

// Virtual is how pods on virtual nodes start and what they cost. It is used by
// the clouds of both vendors, each with figures of its own.
type Virtual struct {
	// VCPU that each zone has at the start, which is the account's quota as
	// well.
	VCPU int `json:"vcpu"`
	// Start is from the binding of a pod to its readiness if the images are
	// cached, in virtual seconds.
	Start Range `json:"start"`
	// PullSeconds is what a pull of 400 MB adds.
	PullSeconds float64 `json:"pullSeconds"`
	// ImageCache keeps an image that was pulled once for all pods of the virtual
	// nodes of a cluster. A pod's annotation can ask for it as well.
	ImageCache bool `json:"imageCache,omitempty"`
	// ImageMB is the size of an image whose name is not in Images.
	ImageMB float64            `json:"imageMB"`
	Images  map[string]float64 `json:"images,omitempty"`
	// Retry is how often a pod that found no capacity tries again.
	Retry Range `json:"retry"`
	// CPUHour, MemoryHour and GPUHour are the hourly prices (synthetic) of a
	// vCPU, a GiB and a GPU.
	CPUHour    float64 `json:"cpuHour"`
	MemoryHour float64 `json:"memoryHour"`
	GPUHour    float64 `json:"gpuHour"`
	// DefaultCPU and DefaultMemoryGiB are what a pod gets that requests nothing.
	DefaultCPU       float64 `json:"defaultCPU"`
	DefaultMemoryGiB float64 `json:"defaultMemoryGiB"`
}

// Hourly price of a pod.
func (v *Virtual) Hourly(cpu, memoryGiB, gpu float64) float64 {
	return cpu*v.CPUHour + memoryGiB*v.MemoryHour + gpu*v.GPUHour
}

// Pull returns the virtual time the pull of an image takes.
func (v *Virtual) Pull(image string) time.Duration {
	mb, ok := v.Images[image]
	if !ok {
		mb = v.ImageMB
	}
	return time.Duration(mb / 400 * v.PullSeconds * float64(time.Second))
}

// eci has the figures of ECI: a pod that requests nothing gets 2 vCPU and 4 GiB.
// The prices are those of ordinary instances and a quarter more.
func eci() Virtual {
	return Virtual{
		VCPU: 1000, Start: Range{10, 20}, PullSeconds: 50, ImageMB: 400, Retry: Range{10, 20},
		CPUHour: 0.15, MemoryHour: 0.0375, GPUHour: 10, DefaultCPU: 2, DefaultMemoryGiB: 4,
	}
}
