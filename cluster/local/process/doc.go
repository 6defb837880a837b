// Package process runs the programs of the local stack as supervised children.
//
// A child never outlives the program that started it: the kernel kills it when
// the parent dies, however the parent dies. Each child has its own log file and
// a health gate, and can be killed, paused and started again by name, with the
// same arguments and ports, which is what fault tests need.
package process
