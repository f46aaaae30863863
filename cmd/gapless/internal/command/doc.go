// Package command is the command line of the program gapless: one file for each
// command. Results go to the standard output, everything else to the standard
// error.
package command
