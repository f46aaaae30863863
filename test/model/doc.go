// Package model draws scripts of operations with rapid and runs them over the
// library's own logs. It is a module of its own, so that rapid is no
// dependency of users.
package model
