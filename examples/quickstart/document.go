package main

import (
	"net/http"

	"github.com/gapless-go/gapless/transport/sse/openapi"
)

// document describes the endpoints in OpenAPI 3.1. That of the stream is made by
// the library; an append and the health are this program's own.
func document() openapi.Object {
	doc := openapi.Document(&openapi.Options{Path: "/events", Title: "Gapless quickstart"})
	paths, components := child(doc, "paths"), child(doc, "components")
	child(paths, "/events")["post"] = appendOperation()
	paths["/healthz"] = openapi.Object{"get": healthOperation()}
	schemas := child(components, "schemas")
	text := openapi.Object{"type": "string"}
	number := openapi.Object{"type": "integer", "minimum": 0}
	schemas["Append"] = openapi.Object{
		"type": "object", "additionalProperties": false, "description": "An event to append. It has a type or data.",
		"properties": openapi.Object{
			"id": openapi.Object{"type": "string", "description": "An event whose ID is in the log already is not added again."}, "topic": text, "type": text, "key": text,
			"data": openapi.Object{"description": "Any JSON, which is kept as it is sent."},
			"meta": openapi.Object{"type": "object", "additionalProperties": text},
		},
	}
	schemas["Appended"] = openapi.Object{
		"type": "object", "description": "Where the last event is; with stored and of, how far an append is under way.", "required": []any{},
		"properties": openapi.Object{
			"cursor": openapi.Object{"$ref": "#/components/schemas/GaplessCursor"}, "count": number, "duplicate": openapi.Object{"type": "boolean"},
			"stored": number, "of": number,
		},
	}
	schemas["Health"] = openapi.Object{
		"type": "object", "description": "The log can be read: all above floor, up to head.", "required": []any{"status", "epoch", "floor", "head"},
		"properties": openapi.Object{"status": openapi.Object{"const": "ok"}, "epoch": text, "floor": number, "head": number},
	}
	return doc
}

// child is an object of a document that the library has made.
func child(parent openapi.Object, name string) openapi.Object {
	object, ok := parent[name].(openapi.Object)
	if !ok {
		panic("the document has no " + name)
	}
	return object
}

// answers adds the problems that answer an operation.
func answers(answers openapi.Object, problems map[string]string) openapi.Object {
	for status, description := range problems {
		answers[status] = openapi.Object{
			"description": description,
			"content":     openapi.Object{"application/problem+json": reference("GaplessProblem")},
		}
	}
	return answers
}

func reference(schema string) openapi.Object {
	return openapi.Object{"schema": openapi.Object{"$ref": "#/components/schemas/" + schema}}
}

func appendOperation() openapi.Object {
	answer := func(description string) openapi.Object {
		return openapi.Object{"description": description, "content": openapi.Object{
			"application/json":     reference("Appended"),
			"application/x-ndjson": reference("Appended"),
		}}
	}
	return openapi.Object{
		"operationId": "appendEvents", "summary": "Append one event, or many", "tags": []any{"events"}, "security": []any{},
		"description": "All are stored, or none. A long append answers with a line for each step, the last of which is the result.",
		"requestBody": openapi.Object{"required": true, "content": openapi.Object{
			"application/json":     reference("Append"),
			"application/x-ndjson": openapi.Object{"schema": openapi.Object{"type": "string", "description": "One JSON object a line, each as one for application/json."}},
		}},
		"responses": answers(openapi.Object{
			"200": answer("All of them were there already."),
			"201": answer("They are stored."),
		}, map[string]string{
			"400": "An event is not as expected. Of a line the problem has the number.",
			"403": "The request was sent by a page of another origin.",
			"413": "An event or the body is too large.",
			"415": "The Content-Type is neither of the two.",
			"500": "The event could not be stored.",
			"503": "The server is shutting down: send it again.",
		}),
	}
}

func healthOperation() openapi.Object {
	return openapi.Object{
		"operationId": "readHealth", "summary": "Whether the log can be read", "tags": []any{"events"}, "security": []any{},
		"description": "The bounds of the log, if it answers within two seconds.",
		"responses": answers(openapi.Object{
			"200": openapi.Object{"description": "It can.", "content": openapi.Object{"application/json": reference("Health")}},
		}, map[string]string{
			"405": "Another method than GET and HEAD.",
			"503": "It cannot.",
		}),
	}
}

// describe serves the document.
func describe(doc openapi.Object) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			methodNotAllowed(w, r, "GET, HEAD")
			return
		}
		writeJSON(w, http.StatusOK, doc)
	}
}
