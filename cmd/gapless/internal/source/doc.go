// Package source opens the log that an address names, in whatever store it is.
package source
