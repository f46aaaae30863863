package jetstreamlog

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
)

// The keys of the stream's metadata. The server adds some of its own.
const (
	metaEpoch   = "gapless.epoch"
	metaVersion = "gapless.version"
	version     = "1" // of what is stored
)

func subjectOf(name, token string) string { return "gapless." + name + "." + token }

func liveSubject(name string) string { return "gapless-live." + name + ".>" }

// config is the stream of a log.
func config(name, epoch string, replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:               name,
		Description:        "a Gapless log: only the library may publish to it",
		Subjects:           []string{subjectOf(name, "*")},
		Storage:            jetstream.FileStorage,
		Replicas:           max(replicas, 1),
		DenyDelete:         true,
		AllowDirect:        true,
		AllowAtomicPublish: true,
		RePublish:          &jetstream.RePublish{Source: ">", Destination: liveSubject(name), HeadersOnly: true},
		Metadata:           map[string]string{metaEpoch: epoch, metaVersion: version},
	}
}

// setting is one of a stream that must be as the log needs it.
type setting struct {
	name string
	ok   bool
	why  string
}

// verify refuses the stream of a log that has another setting, by its name.
func verify(c jetstream.StreamConfig, opts Options) error {
	if c.Metadata[metaEpoch] == "" {
		return errors.New("the stream is none of a log: choose another name, or follow a stream of other programs with OpenStream")
	}
	if got := c.Metadata[metaVersion]; got != version {
		return fmt.Errorf("the stream was made by another version of this library (%s is %q, want %q): upgrade, nothing was changed", metaVersion, got, version)
	}
	want := config(c.Name, "", opts.Replicas)
	return refuse(append(append(common(c), holes(c)...),
		setting{"storage", c.Storage == want.Storage, "a server that is restarted would have lost all events: it must be file"},
		setting{"subjects", slices.Equal(c.Subjects, want.Subjects), "they must be " + fmt.Sprint(want.Subjects)},
		setting{"republish", c.RePublish != nil && *c.RePublish == *want.RePublish, "the live side would be late: the source must be >, the destination " + want.RePublish.Destination + ", headers only"},
		setting{"allow_atomic", c.AllowAtomicPublish, "appends of several events need it: it must be true"},
		setting{"deny_delete", c.DenyDelete, "deleted messages are holes: it must be true"},
		setting{"deny_purge", !c.DenyPurge, "Trim needs it: it must be false"},
		setting{"sealed", !c.Sealed, "nothing could be appended: it must be false"},
		setting{"no_ack", !c.NoAck, "appends could not be acknowledged: it must be false"},
		setting{"mirror", c.Mirror == nil, "nothing could be appended: the log must be the stream that it mirrors"},
		setting{"sources", len(c.Sources) == 0, "other streams would add messages that are no events: there must be none"},
		setting{"subject_transform", c.SubjectTransform == nil, "IDs are found by their subject: there must be none"},
		setting{"allow_msg_counter", !c.AllowMsgCounter, "the server would change the events: it must be false"},
		setting{"persist_mode", c.PersistMode == jetstream.DefaultPersistMode, "an append would be acknowledged before it is written: it must be default"},
		setting{"num_replicas", opts.Replicas == 0 || c.Replicas == opts.Replicas, "Options.Replicas is " + strconv.Itoa(opts.Replicas) + ", and the stream's " + strconv.Itoa(c.Replicas)},
	))
}

// common are the settings without which no stream can be followed.
func common(c jetstream.StreamConfig) []setting {
	return []setting{
		{"retention", c.Retention == jetstream.LimitsPolicy, "consumers would remove events: it must be limits"},
		{"allow_direct", c.AllowDirect, "reads need it: it must be true"},
	}
}

// holes are the settings by which a server makes holes.
func holes(c jetstream.StreamConfig) []setting {
	return []setting{
		{"max_msgs_per_subject", c.MaxMsgsPerSubject <= 0, "it makes holes: it must be -1"},
		{"allow_rollup_hdrs", !c.AllowRollup, "a rollup makes holes: it must be false"},
		{"allow_msg_ttl", !c.AllowMsgTTL, "messages that expire by themselves make holes: it must be false"},
		{"allow_msg_schedules", !c.AllowMsgSchedules, "the server removes a message that it has sent at its time, which makes a hole: it must be false"},
	}
}

// followable are the settings of a stream that others write.
func followable(c jetstream.StreamConfig, ignoreDeleted bool) []setting {
	settings := append(common(c), setting{"mirror", c.Mirror == nil, "it may be far behind what it mirrors: follow that one"})
	if ignoreDeleted {
		return settings
	}
	return append(settings, holes(c)...)
}

func refuse(settings []setting) error {
	var problems []error
	for _, s := range settings {
		if !s.ok {
			problems = append(problems, fmt.Errorf("the stream's %s breaks a promise: %s", s.name, s.why))
		}
	}
	return errors.Join(problems...)
}

// withEpoch is the configuration with another epoch.
func withEpoch(c jetstream.StreamConfig, epoch string) jetstream.StreamConfig {
	c.Metadata = maps.Clone(c.Metadata)
	c.Metadata[metaEpoch] = epoch
	return c
}
