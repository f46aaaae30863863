package memlog

// Options of a [Log]; nil means the defaults.
type Options struct {
	// Buffer is how many events a subscription holds before it lags; 0 means
	// 256.
	Buffer uint
}
