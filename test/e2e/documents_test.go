package e2e_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gapless-go/gapless/transport/sse/openapi"
)

// documents are what users get to see: the whole one, with and without tickets,
// and one of an application that has ours mounted into it.
func documents(t *testing.T) map[string]any {
	t.Helper()
	const own = `{
		"openapi": "3.1.0", "servers": [{"url": "https://shop.example.org"}],
		"info": {"title": "Shop", "version": "2", "description": "A shop.", "contact": {"name": "us", "url": "https://shop.example.org"},
			"license": {"name": "MIT", "identifier": "MIT"}},
		"security": [{"bearer": []}], "tags": [{"name": "orders", "description": "Orders."}],
		"paths": {"/orders": {"get": {"operationId": "listOrders", "summary": "List", "description": "All.", "tags": ["orders"], "responses": {
			"200": {"description": "They.", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}}},
			"401": {"description": "Log in."}}}}},
		"components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}, "schemas": {"Order": {"type": "object"}}}}`
	var mounted openapi.Object
	if err := json.Unmarshal([]byte(own), &mounted); err != nil {
		t.Fatal(err)
	}
	err := openapi.Mount(mounted, &openapi.Options{
		Path: "/orders/events", Tickets: true, Security: []openapi.Object{{"bearer": []any{}}},
		Data: openapi.Object{"$ref": "#/components/schemas/Order"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{"openapi": openapi.Document(nil), "tickets": openapi.Document(&openapi.Options{Tickets: true}), "mounted": mounted}
}

// writeDocument writes a document into a folder of its own.
func writeDocument(t *testing.T, name string, doc any) (file string) {
	t.Helper()
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), name+".json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// served is the document that the quickstart serves.
func served(t *testing.T) any {
	t.Helper()
	s := newQuickstart(t)
	resp, err := s.http.Get(s.url("/openapi.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var doc any
	if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// Spectral and Redocly find nothing in any document, not even a hint, and the
// parser of the AsyncAPI project reads that of the messages.
func TestLintersAcceptTheDocuments(t *testing.T) {
	needNode(t)
	all := documents(t)
	all["quickstart"] = served(t)
	var files []string
	for name, doc := range all {
		files = append(files, writeDocument(t, name, doc))
	}
	quiet := []string{"REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true"}
	redocly := append([]string{"node_modules/@redocly/cli/bin/cli.js", "lint", "--extends=recommended-strict"}, files...)
	if out := node(t, quiet, redocly...); !strings.Contains(out, "valid") || strings.Contains(out, "warning ") {
		t.Errorf("Redocly says:\n%s", out)
	}
	asyncapiFile := writeDocument(t, "asyncapi", openapi.AsyncAPI(nil))
	spectral := []string{"node_modules/@stoplight/spectral-cli/dist/index.js", "lint", "--fail-severity=hint", "--ruleset=.spectral.json", asyncapiFile}
	node(t, nil, append(spectral, files...)...)
	if got := strings.TrimSpace(node(t, nil, "node/asyncapi.js", asyncapiFile)); got != "6 messages" {
		t.Errorf("the parser of AsyncAPI read %q, want 6 messages", got)
	}
}

const typesFile = "../../clients/typescript/openapi.d.ts"

// The types that the TypeScript client is written with are generated from the
// document; with GAPLESS_REWRITE=1 they are written anew.
func TestTheTypesAreThoseOfTheDocument(t *testing.T) {
	needNode(t)
	openapiFile := writeDocument(t, "openapi", openapi.Document(nil))
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
