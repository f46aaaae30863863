package openapi

// ref points to a component.
func ref(kind, name string) Object { return Object{"$ref": "#/components/" + kind + "/" + name} }

func pathItem(o Options) Object {
	params := []any{}
	for _, name := range []string{"After", "LastEventID", "Topic", "Type", "Key", "Heartbeat", "Data"} {
		params = append(params, ref("parameters", "Gapless"+name))
	}
	failures := func(ok string, response any) Object {
		return Object{
			ok:    response,
			"400": ref("responses", "GaplessBadRequest"),
			"401": ref("responses", "GaplessRefused"),
			"403": ref("responses", "GaplessRefused"),
			"500": ref("responses", "GaplessUnstreamable"),
		}
	}
	head := failures("200", Object{"description": "The headers of the stream, without it."})
	head["503"] = ref("responses", "GaplessUnavailable")
	item := Object{
		"parameters": params,
		"get": Object{
			"operationId": "followEvents", "summary": "Follow the event stream", "tags": []any{tag}, "security": o.Security,
			"description": "History from the start that was asked for, then what happens, in order and without a gap. " +
				"Each message with data has an id, the cursor to resume from. After `cdc.reset` the stream goes on, but events may have been skipped: reload your state. " +
				"Overload and shutdown are 200 with `cdc.reconnect` and the end, because a browser gives up on other statuses. " +
				"A line with a colon alone is a heartbeat.",
			"responses": failures("200", Object{
				"description": "The stream.",
				"headers": Object{
					"Cache-Control":     Object{"description": "No cache, no transformation.", "schema": Object{"type": "string"}},
					"X-Accel-Buffering": Object{"description": "Tells nginx to pass each message on at once.", "schema": Object{"type": "string", "const": "no"}},
				},
				"content": Object{"text/event-stream": Object{
					"schema":   ref("schemas", "GaplessStream"),
					"examples": Object{"stream": Object{"summary": "An event that was there, then the turn to live", "value": example}},
				}},
			}),
		},
		"head": Object{
			"operationId": "checkEvents", "summary": "Check a request without opening a stream", "tags": []any{tag}, "security": o.Security,
			"description": "The status that GET would have.",
			"responses":   head,
		},
		"options": Object{
			"operationId": "optionsOfEvents", "summary": "Methods, and what pages of other origins may do", "tags": []any{tag}, "security": []Object{},
			"description": "The answer to a preflight of CORS.",
			"responses":   Object{"204": Object{"description": "The methods are in Allow.", "headers": Object{"Allow": Object{"description": "The methods.", "schema": Object{"type": "string"}}}}},
		},
	}
	return item
}

const example = `event: cdc.hello
data: {"log":"c6yis6ymsweyz","from":"c6yis6ymsweyz.0"}
retry: 2873
id: c6yis6ymsweyz.0

data: {"cursor":"c6yis6ymsweyz.1.k3x9","topic":"orders","type":"order.created","key":"7","time":"2026-01-02T15:04:05.123456Z","data":{"total":12}}
id: c6yis6ymsweyz.1.k3x9

event: cdc.live
data: {}
id: c6yis6ymsweyz.1.k3x9

`

func parameters() Object {
	many := func(name, description string) Object {
		return Object{
			"name": name, "in": "query", "description": description, "style": "form", "explode": true,
			"schema": Object{"type": "array", "items": Object{"type": "string"}, "maxItems": 256},
		}
	}
	return Object{
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
		"GaplessTopic": many("topic", "Only events of these topics; one that ends in * is a prefix. All filters must match."),
		"GaplessType":  many("type", "Only events of these types."),
		"GaplessKey":   many("key", "Only events of these keys."),
		"GaplessHeartbeat": Object{
			"name": "heartbeat", "in": "query", "description": "`event` sends cdc.checkpoint for heartbeats, so that a page can notice a dead connection.",
			"schema": Object{"type": "string", "enum": []any{"event"}},
		},
		"GaplessData": Object{
			"name": "data", "in": "query", "description": "`exact` sends every payload as dataBase64, byte by byte; refused where the server has an encoding of its own.",
			"schema": Object{"type": "string", "enum": []any{"exact"}},
		},
	}
}

func responses() Object {
	of := func(description string) Object {
		return Object{
			"description": description,
			"content":     Object{"application/problem+json": Object{"schema": ref("schemas", "GaplessProblem")}},
		}
	}
	return Object{
		"GaplessBadRequest":   of("A parameter cannot be read: mend the request."),
		"GaplessRefused":      of("The client may not follow this. An application may refuse with other statuses, too."),
		"GaplessUnstreamable": of("A middleware of the server keeps the response from being streamed."),
		"GaplessUnavailable":  of("The log does not answer."),
	}
}
