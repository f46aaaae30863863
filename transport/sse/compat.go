package sse

import (
	"strconv"

	"github.com/gapless-go/gapless/cdc"
)

// compatEnvelope is the data of [Options.Compat]: the topic is the projectId,
// the key the sessionId, both null if empty. A payload that is no JSON is in
// payloadBase64.
type compatEnvelope struct{}

func (compatEnvelope) Encode(dst []byte, _ cdc.Cursor, e cdc.Event) ([]byte, error) {
	dst = strconv.AppendUint(append(dst, `{"seq":`...), e.Seq, 10)
	dst = appendOptional(append(dst, `,"projectId":`...), e.Topic)
	dst = appendOptional(append(dst, `,"sessionId":`...), e.Key)
	dst = appendString(append(dst, `,"type":`...), e.Type)
	if isJSON(e.Data) {
		dst = append(append(dst, `,"payload":`...), e.Data...)
	} else {
		dst = appendBase64(append(dst, `,"payloadBase64":`...), e.Data)
	}
	return append(appendTime(append(dst, `,"createdAt":`...), e.Time), '}'), nil
}

func appendOptional(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "null"...)
	}
	return appendString(dst, s)
}
