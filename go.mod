module github.com/gapless-go/gapless

go 1.26
