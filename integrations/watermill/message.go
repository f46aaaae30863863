package gaplesswatermill

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/gapless-go/gapless/cdc"
)

// The metadata that are an event's Type and Key, if those are not empty.
const (
	MetadataType = "gapless_type"
	MetadataKey  = "gapless_key"
)

func eventOf(topic string, msg *message.Message) cdc.Event {
	e := cdc.Event{Topic: topic, Type: msg.Metadata[MetadataType], Key: msg.Metadata[MetadataKey], Data: slices.Clone(msg.Payload)}
	if msg.UUID != "" {
		e.ID = topic + "/" + msg.UUID
	}
	e.Meta = maps.Clone(msg.Metadata)
	delete(e.Meta, MetadataType)
	delete(e.Meta, MetadataKey)
	return e
}

func messageOf(e cdc.Event) *message.Message {
	uuid := strings.TrimPrefix(e.ID, e.Topic+"/")
	if uuid == "" {
		uuid = strconv.FormatUint(e.Seq, 10)
	}
	msg := message.NewMessage(uuid, slices.Clone(e.Data))
	maps.Copy(msg.Metadata, e.Meta)
	for key, value := range map[string]string{MetadataType: e.Type, MetadataKey: e.Key} {
		if value != "" {
			msg.Metadata.Set(key, value)
		}
	}
	return msg
}
