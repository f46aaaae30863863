package openapi

// frame is a control frame and the schema of its data.
type frame struct {
	event   string // its name on the wire
	schema  string
	summary string
	data    Object
}

func object(description string, properties Object, required ...any) Object {
	if required == nil {
		required = []any{}
	}
	return Object{"type": "object", "description": description, "properties": properties, "required": required}
}

func number(description string) Object {
	return Object{"type": "integer", "minimum": 0, "description": description}
}

// frames are the control frames, in the order of a stream.
func frames() []frame {
	cursor := ref("schemas", "GaplessCursor")
	none := Object{}
	return []frame{
		{"cdc.hello", "GaplessHello", "First, once the start is resolved; with a retry: field.", object("Where the stream starts.", Object{
			"log":  Object{"type": "string", "description": "The epoch of the log."},
			"from": cursor,
		}, "log", "from")},
		{"cdc.live", "GaplessLive", "History is over: what follows happens now.", object("Nothing.", none)},
		{"cdc.checkpoint", "GaplessCheckpoint", "The cursor moved though nothing matched; or a heartbeat.", object("Nothing.", none)},
		{"cdc.reset", "GaplessReset", "Events may have been skipped: reload the state, store the id when that is done.", object("Why the cursor could not be resumed.", Object{
			"reason": Object{
				"type": "string", "description": "Why.",
				"enum": []any{"truncated", "future", "foreign", "diverged", "malformed", "too-far", "epoch-changed"},
			},
			"requested": Object{"type": "string", "description": "The cursor that was asked for."},
			"floor":     number("Everything up to here was removed by retention."),
			"head":      number("The last event there is."),
		}, "reason", "requested", "floor", "head")},
		{"cdc.reconnect", "GaplessReconnect", "The stream ends: come back after retry:. The server drains, is overloaded, or the time of the stream is over, or pages bring the client further.", object("How to go on.", Object{
			"pages": object("What a client that takes pages reads before it comes back.", Object{
				"size": number("The seqs of a page."),
				"to":   number("The end of the last page."),
			}, "size", "to"),
			"events": number("At the end of a page: how many events it has. A page without this end, or with another number of events, was not received as it was sent."),
		})},
	}
}

func schemas(o Options) Object {
	text := func(description string) Object { return Object{"type": "string", "description": description} }
	all := Object{
		"GaplessCursor": Object{
			"type": "string", "maxLength": 128, "pattern": `^[A-Za-z0-9._~-]+$`,
			"description": "A position in the log: everything up to it has been seen. Opaque: keep it and send it back.",
			"examples":    []any{"c6yis6ymsweyz.1.k3x9"},
		},
		"GaplessEvent": object("An event. It has data, or dataBase64 if its payload is no JSON.", Object{
			"cursor":     ref("schemas", "GaplessCursor"),
			"topic":      text("Where it happened; may be empty."),
			"type":       text("What happened."),
			"key":        text("To what; may be empty."),
			"time":       Object{"type": "string", "format": "date-time", "description": "When the log accepted it."},
			"id":         text("The name that the application gave it; absent if none."),
			"data":       o.Data,
			"dataBase64": Object{"type": "string", "contentEncoding": "base64", "description": "The payload, if it is no JSON, or with data=exact."},
			"meta":       Object{"type": "object", "additionalProperties": Object{"type": "string"}, "description": "Its metadata, with data=exact."},
		}, "cursor", "topic", "type", "key", "time"),
		"GaplessBounds": object("The limits of the log.", Object{
			"log":   text("The epoch of the log."),
			"floor": number("Everything up to here was removed by retention."),
			"head":  number("The last event there is."),
			"last":  number("The last seq that was ever given out."),
		}, "log", "floor", "head", "last"),
		"GaplessProblem": object("Problem details (RFC 9457).", Object{
			"status": Object{"type": "integer", "minimum": 400, "maximum": 599, "description": "The status of the answer."},
			"title":  text("What is wrong, in a few words."),
			"detail": text("What to do."),
		}, "status", "title"),
	}
	messages := []any{ref("schemas", "GaplessEventMessage")}
	all["GaplessEventMessage"] = message(unnamed, "GaplessEvent", "An event. It has no event: line, so it arrives as `message`.")
	for _, f := range frames() {
		all[f.schema] = f.data
		all[f.schema+"Message"] = message(f.event, f.schema, f.summary)
		messages = append(messages, ref("schemas", f.schema+"Message"))
	}
	all["GaplessMessage"] = Object{"description": "One message of the stream.", "oneOf": messages}
	all["GaplessStream"] = Object{
		"type": "string", "contentMediaType": "text/event-stream", "contentSchema": ref("schemas", "GaplessMessage"),
		"description": "Messages as server-sent events. Here they are written as a client gets them: the data of each is what its JSON decodes to, and an event, which has no event: line, is a `message`.",
	}
	return all
}

// unnamed is what an EventSource calls a message without an event: line.
const unnamed = "message"

// message is a message of the stream, its data decoded.
func message(event, data, description string) Object {
	properties := Object{
		"id":    ref("schemas", "GaplessCursor"),
		"data":  ref("schemas", data),
		"retry": Object{"type": "integer", "minimum": 1, "description": "Milliseconds to wait before the next reconnect."},
	}
	required := []any{"event", "id", "data"}
	properties["event"] = Object{"type": "string", "const": event, "description": "The name."}
	if event == "cdc.reconnect" {
		required = []any{"event", "data"} // a stream that never started has no cursor
	}
	return object(description, properties, required...)
}
