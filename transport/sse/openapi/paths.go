package openapi

// ref points to a component.
func ref(kind, name string) Object { return Object{"$ref": "#/components/" + kind + "/" + name} }

func pathItem(o Options) Object {
	params := []any{}
	for _, name := range parameterNames() {
		params = append(params, ref("parameters", name))
	}
	return Object{
		"parameters": params,
		"get": Object{
			"operationId": "followEvents", "summary": "Follow the event stream", "tags": []any{tag}, "security": o.Security,
			"description": "History from the start that was asked for, then what happens, in order and without a gap. " +
				"Each message with data has an id, the cursor to resume from. After `cdc.reset` the stream goes on, but events may have been skipped: reload your state. " +
				"Overload and shutdown are 200 with `cdc.reconnect` and the end, because a browser gives up on other statuses. " +
				"A line with a colon alone is a heartbeat.",
			"responses": failures("200", Object{
				"description": "The stream; with `bounds=only` the bounds of the log, with `page` a page of old events instead.",
				"headers": Object{
					"Cache-Control":     Object{"description": "No cache, no transformation; for how long a page may be kept.", "schema": Object{"type": "string"}},
					"X-Accel-Buffering": Object{"description": "Tells nginx to pass each message on at once.", "schema": Object{"type": "string", "const": "no"}},
					"ETag":              Object{"description": "Of a page.", "schema": Object{"type": "string"}},
				},
				"content": Object{
					"text/event-stream": Object{
						"schema":   ref("schemas", "GaplessStream"),
						"examples": Object{"stream": Object{"summary": "An event that was there, then the turn to live", "value": example}},
					},
					"application/json": Object{"schema": ref("schemas", "GaplessBounds")},
				},
			}),
		},
		"head": Object{
			"operationId": "checkEvents", "summary": "Check a request without opening a stream", "tags": []any{tag}, "security": o.Security,
			"description": "The status that GET would have, and the bounds of the log.",
			"responses": failures("200", Object{
				"description": "The headers of the stream, without it.",
				"headers": Object{"Gapless-Bounds": Object{
					"description": "Epoch, floor, head, and the last seq that was given out, with blanks between them.",
					"schema":      Object{"type": "string"},
				}},
			}),
		},
		"options": Object{
			"operationId": "optionsOfEvents", "summary": "Methods, and what pages of other origins may do", "tags": []any{tag}, "security": []Object{},
			"description": "The answer to a preflight of CORS.",
			"responses": Object{
				"204": Object{"description": "The methods are in Allow.", "headers": Object{"Allow": Object{"description": "The methods.", "schema": Object{"type": "string"}}}},
				"4XX": Object{"description": "Of something before the handler, which itself refuses no preflight."},
			},
		},
	}
}

// failures are the answers to a GET or HEAD, with the one for ok.
func failures(ok string, response any) Object {
	return Object{
		ok:        response,
		"400":     ref("responses", "GaplessBadRequest"),
		"304":     Object{"description": "The page that the client has is right."},
		"401":     ref("responses", "GaplessRefused"),
		"403":     ref("responses", "GaplessRefused"),
		"404":     ref("responses", "GaplessNoPage"),
		"500":     ref("responses", "GaplessUnstreamable"),
		"503":     ref("responses", "GaplessUnavailable"),
		"default": ref("responses", "GaplessRefused"),
	}
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

func responses() Object {
	of := func(description string) Object {
		return Object{
			"description": description,
			"content":     Object{"application/problem+json": Object{"schema": ref("schemas", "GaplessProblem")}},
		}
	}
	return Object{
		"GaplessBadRequest":   of("A parameter cannot be read: mend the request."),
		"GaplessNoPage":       of("There is no such page: it is not full yet, retention has removed its beginning, or the log is another one. Follow the stream."),
		"GaplessRefused":      of("The client may not follow this; the application chooses the status. 503 is answered as an overload is: 200 and cdc.reconnect."),
		"GaplessUnstreamable": of("A middleware of the server keeps the response from being streamed."),
		"GaplessUnavailable":  of("The log does not answer."),
	}
}
