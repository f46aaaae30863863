module github.com/gapless-go/gapless/transport/sse/remote

go 1.26.0

require (
	github.com/gapless-go/gapless v0.1.0
	github.com/launchdarkly/eventsource v1.11.0
)
