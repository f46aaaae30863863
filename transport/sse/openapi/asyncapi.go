package openapi

import (
	"net/http"
	"net/url"
)

// AsyncAPI returns an AsyncAPI 3.1 document of the messages of the stream.
func AsyncAPI(opts *Options) Object {
	o := opts.withDefaults()
	server := Object{"host": "localhost", "protocol": "http", "description": "The server of the stream."}
	if u, err := url.Parse(o.Server); err == nil && u.Host != "" {
		server["host"], server["protocol"] = u.Host, u.Scheme
		if u.Path != "" && u.Path != "/" {
			server["pathname"] = u.Path
		}
	}
	channel, operation, payloads := messages(o)
	return Object{
		"asyncapi": "3.1.0",
		"info": Object{
			"title": o.Title, "version": o.Version,
			"description": "The messages of an ordered, durable event stream, sent as server-sent events.",
			"contact":     Object{"name": "Gapless", "url": "https://github.com/gapless-go/gapless"},
			"license":     Object{"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
			"tags":        []any{Object{"name": tag}},
		},
		"defaultContentType": "application/json",
		"servers":            Object{"stream": server},
		"channels":           Object{"events": channel},
		"operations":         Object{"sendEvents": operation},
		"components":         Object{"messages": payloads, "schemas": payloadSchemas(o)},
	}
}

// AsyncAPIHandler serves [AsyncAPI] as JSON.
func AsyncAPIHandler(opts *Options) http.Handler { return serve(AsyncAPI(opts)) }

// messages are the channel, the operation on it and the components of its
// messages.
func messages(o Options) (channel, operation, components Object) {
	components = Object{"event": asyncMessage("message", "GaplessEvent", "An event, without an event: line.")}
	for _, f := range frames() {
		components[f.schema] = asyncMessage(f.event, f.schema, f.summary)
	}
	inChannel, sent := Object{}, []any{}
	for _, name := range append([]string{"event"}, frameSchemas()...) {
		inChannel[name] = ref("messages", name)
		sent = append(sent, Object{"$ref": "#/channels/events/messages/" + name})
	}
	channel = Object{
		"address": o.Path, "title": "Events", "description": "GET with Accept: text/event-stream.", "messages": inChannel,
		"servers": []any{Object{"$ref": "#/servers/stream"}},
	}
	operation = Object{
		"action": "send", "title": "Stream", "summary": "History, then what happens.",
		"description": "The id: of each message is the cursor to resume from.",
		"channel":     Object{"$ref": "#/channels/events"}, "messages": sent,
	}
	return channel, operation, components
}

func frameSchemas() []string {
	var names []string
	for _, f := range frames() {
		names = append(names, f.schema)
	}
	return names
}

func asyncMessage(event, schema, summary string) Object {
	return Object{
		"name": event, "title": event, "summary": summary, "contentType": "application/json", "payload": ref("schemas", schema),
		"headers": object("The fields beside the data.", Object{
			"id":    Object{"type": "string", "description": "The cursor to resume from."},
			"event": Object{"type": "string", "description": "The name; absent for events."},
			"retry": Object{"type": "integer", "description": "Milliseconds to wait before the next reconnect."},
		}),
	}
}

// payloadSchemas are the schemas of what stands in data: lines.
func payloadSchemas(o Options) Object {
	all := schemas(o)
	kept := Object{}
	for _, name := range append([]string{"GaplessEvent", "GaplessCursor"}, frameSchemas()...) {
		kept[name] = all[name]
	}
	return kept
}
