//go:build !linux

package sse

import "syscall"

// leavers is not there: each connection is read by a goroutine instead.
type leavers struct{}

func newLeavers() *leavers                           { return nil }
func (l *leavers) add(*stream, syscall.RawConn) bool { return false }
func (l *leavers) remove(*stream)                    {}
func (l *leavers) run()                              {}
func (l *leavers) close()                            {}
