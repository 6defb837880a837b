// Package lifecycle is what the managed resources of all clouds share: creation
// that happens once, long operations that survive restarts, terminal errors
// that are not retried at once, and writes that are left out when nothing has
// changed.
package lifecycle
