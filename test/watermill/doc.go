// Package watermill runs the public suite of watermill for Pub/Subs on
// integrations/watermill over a log of each kind.
package watermill
