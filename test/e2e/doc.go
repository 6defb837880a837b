// Package e2e tests the whole loop on the real stack: one stack for all tests,
// which run one after the other, each with a claim of its own on the shared
// self-built members. After each, the books of the cloud and the word of an
// independent observer are checked.
package e2e
