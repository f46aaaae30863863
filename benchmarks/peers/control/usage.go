package control

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Usage is what a process has used since it began.
type Usage struct {
	CPU      time.Duration
	Mallocs  uint64
	Resident int64 // bytes of its own memory, after a collection if that was asked for
}

// CPU returns for how long processors have worked for this process.
func CPU() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// Used returns what this process has used. With collect it gives back first
// what memory it can.
func Used(collect bool) (u Usage) {
	if collect {
		for range 3 { // stacks shrink step by step
			runtime.GC()
		}
		debug.FreeOSMemory()
	}
	u.CPU = CPU()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u.Mallocs = m.Mallocs
	// statm lags behind by some MB.
	rollup, _ := os.ReadFile("/proc/self/smaps_rollup")
	if _, rest, ok := strings.Cut(string(rollup), "Anonymous:"); ok {
		kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		u.Resident = kb << 10
	}
	return u
}
