// Package xpkg installs the project's Crossplane packages the way a user does:
// with Crossplane's own package manager, from a registry.
package xpkg
