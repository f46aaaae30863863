module github.com/gapless-go/gapless/conformance/model

go 1.26.0

replace github.com/gapless-go/gapless => ../..

require (
	github.com/gapless-go/gapless v0.0.0-00010101000000-000000000000
	pgregory.net/rapid v1.3.0
)
