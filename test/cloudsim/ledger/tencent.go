package ledger

// Kinds of the Tencent cloud, besides Cluster (fee by level), NodePool, ENI,
// SecurityGroup, which both clouds have, and SupernodePod.
const (
	EndpointCLB  Kind = "endpoint-clb"   // of the API server
	ServiceCLB   Kind = "service-clb"    // of a Service of type LoadBalancer
	CVM          Kind = "cvm"            // a node
	CBS          Kind = "cbs"            // a disk of a CVM, or bound to a PVC
	SuperNodes   Kind = "super-nodepool" // a pool of super nodes, free
	ASGroup      Kind = "as-group"       // free
	LaunchConfig Kind = "launch-config"  // free
)
