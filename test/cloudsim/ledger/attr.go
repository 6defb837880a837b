package ledger

// Names of attributes of objects.
const (
	AttrVPC           = "vpc"
	AttrVSwitch       = "vswitch"
	AttrSecurityGroup = "securityGroup"
	AttrCreated       = "created" // RFC 3339, on the callers' clock
	AttrStatus        = "status"
	AttrType          = "type"   // of an instance
	AttrCharge        = "charge" // PostPaid or PrePaid
	AttrSpot          = "spot"   // the spot strategy
	AttrLock          = "lock"   // why an instance is locked
	AttrInstance      = "instance"
	AttrAddress       = "address"
	AttrAddressType   = "addressType" // internet or intranet
	AttrSize          = "size"        // in GiB
	AttrCategory      = "category"
	AttrDiskType      = "diskType" // system or data
	AttrCPU           = "cpu"
	AttrMemory        = "memory" // in GiB
)
