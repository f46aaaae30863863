// Package orm appends, and works, in the transactions of object-relational
// mappers: bun and gorm, on each database that they share with the log.
package orm
