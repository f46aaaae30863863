// Package release fetches the modules of this repository as an application
// does: from a proxy, in the version of the next release, without the workspace.
package release
