package e2e_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gapless-go/gapless/transport/sse/openapi"
)

// writeDocuments writes the API documents into a folder.
func writeDocuments(t *testing.T) (openapiFile, asyncapiFile string) {
	t.Helper()
	dir := t.TempDir()
	openapiFile, asyncapiFile = filepath.Join(dir, "openapi.json"), filepath.Join(dir, "asyncapi.json")
	for name, doc := range map[string]openapi.Object{openapiFile: openapi.Document(nil), asyncapiFile: openapi.AsyncAPI(nil)} {
		text, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return openapiFile, asyncapiFile
}

// Spectral finds nothing in either document, not even a hint, and the parser of
// the AsyncAPI project reads the second.
func TestLintersAcceptTheDocuments(t *testing.T) {
	needNode(t)
	openapiFile, asyncapiFile := writeDocuments(t)
	node(t, nil, "node_modules/@stoplight/spectral-cli/dist/index.js", "lint", "--fail-severity=hint", "--ruleset=.spectral.json", openapiFile, asyncapiFile)
	if got := strings.TrimSpace(node(t, nil, "node/asyncapi.js", asyncapiFile)); got != "6 messages" {
		t.Errorf("the parser of AsyncAPI read %q, want 6 messages", got)
	}
}

const typesFile = "../clients/typescript/openapi.d.ts"

// The types that the TypeScript client is written with are generated from the
// document; with GAPLESS_REWRITE=1 they are written anew.
func TestTheTypesAreThoseOfTheDocument(t *testing.T) {
	needNode(t)
	openapiFile, _ := writeDocuments(t)
	out := filepath.Join(t.TempDir(), "openapi.d.ts")
	node(t, nil, "node_modules/openapi-typescript/bin/cli.js", openapiFile, "-o", out)
	want, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("GAPLESS_REWRITE") != "" {
		if err := os.WriteFile(typesFile, want, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(typesFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s is out of step with the OpenAPI document: run this test with GAPLESS_REWRITE=1", typesFile)
	}
}
