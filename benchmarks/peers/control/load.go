package control

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Load is how events are published.
type Load struct {
	From, N   int
	Rate      int           // a second; 0 is as fast as they are taken
	Most      time.Duration // of publishing; then the rest is left out; 0 is no limit
	Appenders int           // at once; 0 is one
}

// publish returns how many events were published.
func (s Server) publish(l Load) (n int64, err error) {
	var next, failed atomic.Int64
	var appenders sync.WaitGroup
	begin, errs := time.Now(), make([]error, max(1, l.Appenders))
	for i := range errs {
		appenders.Go(func() {
			for failed.Load() == 0 {
				n := int(next.Add(1)) - 1
				if n >= l.N || l.Most > 0 && time.Since(begin) > l.Most {
					next.Add(-1)
					return
				}
				if l.Rate > 0 {
					time.Sleep(time.Until(begin.Add(time.Duration(n) * time.Second / time.Duration(l.Rate))))
				}
				if errs[i] = s.Publish(Data(Marker, l.From+n, time.Now())); errs[i] != nil {
					failed.Add(1)
				}
			}
		})
	}
	appenders.Wait()
	return next.Load(), errors.Join(errs...)
}

// fill publishes n events, many at once.
func (s Server) fill(n int) error {
	for from := 0; from < n; from += 1000 {
		data := make([][]byte, min(1000, n-from))
		for i := range data {
			data[i] = Data(Marker, from+i, time.Now())
		}
		if err := s.Publish(data...); err != nil {
			return err
		}
	}
	return nil
}

// commits returns the median time of n publishes, with pauses.
func (s Server) commits(n int) (time.Duration, error) {
	took := make([]time.Duration, n)
	for i := range took {
		data := Data(Opening, i, time.Now())
		began := time.Now()
		err := s.Publish(data)
		if took[i] = time.Since(began); err != nil {
			return 0, err
		}
		time.Sleep(100 * time.Millisecond) // the followers wait again
	}
	slices.Sort(took)
	return took[n/2], nil
}
