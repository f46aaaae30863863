// Package e2e_test follows a Gapless server with the clients that people use:
// a browser, the common packages of Node.js and of Go. Each is a small program
// in clients/ or node/ that prints what it receives; the tests drive and judge
// it. They also hold the documents and the TypeScript client to the server.
package e2e_test
