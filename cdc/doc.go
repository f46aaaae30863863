// Package cdc turns an ordered, durable log into streams that can be resumed.
package cdc
