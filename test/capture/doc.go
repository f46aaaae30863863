// Package capture judges Capture of the package sqllog: a write to a captured
// table must do what it does without capture, and the table's events must tell
// exactly what became of its rows.
//
// A [Script] is a table and statements, made from a seed. [Run] executes it in
// two databases that are equal but for capture, and reports every difference
// in errors, counts, returned rows and final rows; at every commit it folds the
// events by key and compares the result with the table. [Shrink] makes a
// script that differs as small as it can, and [Script.SQL] prints it.
package capture
