// Package crds holds the CustomResourceDefinitions of the fleet's API, for the
// fleet to install into the workload plane.
package crds

import "embed"

// FS has one file for each CustomResourceDefinition, in YAML.
//
//go:embed *.yaml
var FS embed.FS
