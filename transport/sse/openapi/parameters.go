package openapi

import "maps"

// ticketScheme is the name of the security scheme of tickets.
const ticketScheme = "GaplessTicket"

func securitySchemes() Object {
	return Object{ticketScheme: Object{
		"type": "apiKey", "in": "query", "name": "ticket",
		"description": "A ticket that the application gave out a moment ago. It opens a stream for a short time, and then only reconnects it.",
	}}
}

// parameterNames are the components of [parameters], in the order of their use.
func parameterNames() []string {
	var names []string
	for _, name := range []string{
		"After", "LastEventID", "LastEventIDQuery", "LastEventIDParam", "Topic", "Type", "Key", "Limit", "Bounds", "Heartbeat", "Data", "Pages", "Page",
	} {
		names = append(names, "Gapless"+name)
	}
	return names
}

func parameters() Object {
	many := func(name, description string) Object {
		return Object{
			"name": name, "in": "query", "description": description, "style": "form", "explode": true,
			"schema": Object{"type": "array", "items": Object{"type": "string"}, "maxItems": 256},
		}
	}
	text := func(name, description string) Object {
		return Object{"name": name, "in": "query", "description": description, "schema": Object{"type": "string"}}
	}
	all := Object{
		"GaplessAfter": Object{
			"name": "after", "in": "query",
			"description": "Where to start: after a cursor or a number, at the `beginning` of what is retained, or at the `latest` event. Last-Event-ID wins over it.",
			"schema":      Object{"type": "string", "default": "latest", "maxLength": 128},
			"examples": Object{
				"latest":    Object{"value": "latest"},
				"beginning": Object{"value": "beginning"},
				"cursor":    Object{"value": "c6yis6ymsweyz.1.k3x9"},
				"number":    Object{"value": "41"},
			},
		},
		"GaplessLastEventID": Object{
			"name": "Last-Event-ID", "in": "header",
			"description": "The id of the last message received, as an EventSource sends it when it reconnects. One that cannot be resumed is answered with cdc.reset.",
			"schema":      Object{"type": "string"},
		},
		"GaplessLastEventIDQuery": text("lastEventId", "What Last-Event-ID says, for clients that cannot send it; of several the last. The header wins."),
		"GaplessLastEventIDParam": text("Last-Event-ID", "The same, as some polyfills send it."),
		"GaplessTopic":            many("topic", "Only events of these topics; one that ends in * is a prefix. All filters must match."),
		"GaplessType":             many("type", "Only events of these types."),
		"GaplessKey":              many("key", "Only events of these keys."),
	}
	maps.Copy(all, formParameters())
	return all
}

// formParameters choose the form of the answer.
func formParameters() Object {
	return Object{
		"GaplessLimit": Object{
			"name": "limit", "in": "query",
			"description": "Ends the stream after so many events, when it is live, or after about a mebibyte: a page of the log.",
			"schema":      Object{"type": "integer", "format": "int32", "minimum": 1},
		},
		"GaplessBounds": Object{
			"name": "bounds", "in": "query", "description": "`only` asks for the bounds of the log as JSON instead of a stream.",
			"schema": Object{"type": "string", "enum": []any{"only"}},
		},
		"GaplessHeartbeat": Object{
			"name": "heartbeat", "in": "query", "description": "`event` sends cdc.checkpoint for heartbeats, so that a page can notice a dead connection.",
			"schema": Object{"type": "string", "enum": []any{"event"}},
		},
		"GaplessData": Object{
			"name": "data", "in": "query", "description": "`exact` sends every payload as dataBase64, byte by byte; refused where the server has an encoding of its own.",
			"schema": Object{"type": "string", "enum": []any{"exact"}},
		},
		"GaplessPages": Object{
			"name": "logpages", "in": "query",
			"description": "Ends the stream with cdc.reconnect, which says so, where at least so many whole pages of the log lie before the client: it reads those and comes back.",
			"schema":      Object{"type": "integer", "format": "int32", "minimum": 1},
		},
		"GaplessPage": Object{
			"name": "logpage", "in": "query",
			"description": "A page of old events instead of a stream, which caches may keep: an epoch and two seqs, of which the first is a multiple of the size of pages. " +
				"It goes with filters and data; a position beside it means nothing.",
			"schema":   Object{"type": "string", "pattern": `^[A-Za-z0-9_~-]{1,64}\.[0-9]+-[0-9]+$`},
			"examples": Object{"second": Object{"value": "c6yis6ymsweyz.512-1024"}},
		},
	}
}
