// Package apis holds the API types. Everything generated from them is made
// here, by `go generate ./apis`.
package apis

//go:generate go tool controller-gen object paths=./...
//go:generate go tool angryjet generate-methodsets ./...
//go:generate go tool controller-gen crd:crdVersions=v1 paths=./v1alpha1;./ack/...;./tke/...;./federation/... output:dir=../package/provider/crds
//go:generate go tool controller-gen crd:crdVersions=v1 paths=./fleet/... output:dir=./fleet/crds
//go:generate go run ./platform/xrdgen
