package openapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Object is a JSON object.
type Object = map[string]any

// Options of the documents; nil means the defaults.
type Options struct {
	// Path is where the Handler is mounted. "" means "/events".
	Path string

	// Title and Version are those of the application's API. "" means "Gapless
	// event stream" and "1.0.0".
	Title, Version string

	// Server is the URL of the server. "" means "/", the one that serves the
	// document; [AsyncAPI] needs a host and takes "http://localhost" then.
	Server string

	// Data is the JSON schema of the payloads. nil means any.
	Data Object

	// Security are the requirements of the operation, for schemes that the
	// application's document declares. nil means none: everyone may read.
	Security []Object

	// Tickets says that tickets of sse.Tickets are taken: it declares the scheme
	// GaplessTicket and adds it to Security.
	Tickets bool
}

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	for field, value := range map[*string]string{&d.Path: "/events", &d.Title: "Gapless event stream", &d.Version: "1.0.0"} {
		if *field == "" {
			*field = value
		}
	}
	if d.Data == nil {
		d.Data = Object{"description": "The payload, if it is JSON."}
	}
	if d.Security == nil {
		d.Security = []Object{}
	}
	if d.Tickets {
		d.Security = append(slices.Clone(d.Security), Object{ticketScheme: []any{}})
	}
	return d
}

// Document returns a whole OpenAPI 3.1 document of the endpoint. It describes a
// Handler with the default Encoder and without Compat; another Encoder has other
// data than GaplessEvent.
func Document(opts *Options) Object {
	o := opts.withDefaults()
	server := o.Server
	if server == "" {
		server = "/"
	}
	doc := Object{
		"openapi": "3.1.0",
		"info": Object{
			"title": o.Title, "version": o.Version,
			"description": "An ordered, durable event stream that resumes where it was cut.",
			"contact":     Object{"name": "Gapless", "url": "https://github.com/gapless-go/gapless"},
			"license":     Object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"servers":    []any{Object{"url": server}},
		"paths":      Object{},
		"components": Object{},
	}
	if err := Mount(doc, opts); err != nil {
		panic(err) // there is nothing yet that it could collide with
	}
	return doc
}

const tag = "events"

// Mount adds the endpoint to a document of OpenAPI 3.1, as encoding/json reads
// one into a map: its path, its schemas, parameters and responses, whose names
// begin with Gapless, and the tag "events" unless there is one. It fails, and changes nothing, if something else has one of the
// names. Mounting a second endpoint shares the schemas, so their Data must be
// the same.
func Mount(doc Object, opts *Options) error {
	o := opts.withDefaults()
	if version, _ := doc["openapi"].(string); !strings.HasPrefix(version, "3.1") {
		return fmt.Errorf("openapi: the document is of version %q, want 3.1: convert it first", version)
	}
	added := map[string]Object{
		"paths":      {o.Path: pathItem(o)},
		"schemas":    schemas(o),
		"responses":  responses(),
		"parameters": parameters(),
	}
	if o.Tickets {
		added["securitySchemes"] = securitySchemes()
	}
	tags, err := withTag(doc)
	if err != nil {
		return err
	}
	components, err := child(doc, "components")
	if err != nil {
		return err
	}
	into := map[string]Object{}
	for name := range added {
		parent := components
		if name == "paths" {
			parent = doc
		}
		if into[name], err = child(parent, name); err != nil {
			return err
		}
		if err := collides(name, into[name], added[name]); err != nil {
			return err
		}
	}
	doc["components"], doc["tags"] = components, tags
	for name, parts := range added {
		maps.Copy(into[name], parts)
		if name == "paths" {
			doc[name] = into[name]
		} else {
			components[name] = into[name]
		}
	}
	return nil
}

// withTag returns the tags of the document, with ours.
func withTag(doc Object) ([]any, error) {
	tags, ok := doc["tags"].([]any)
	if _, taken := doc["tags"]; taken && !ok {
		return nil, fmt.Errorf("openapi: %q of the document is a %T: give it as a list, as encoding/json reads it", "tags", doc["tags"])
	}
	if slices.ContainsFunc(tags, func(one any) bool { o, _ := one.(Object); return o["name"] == tag }) {
		return tags, nil
	}
	return append(slices.Clone(tags), Object{"name": tag, "description": "Server-sent events with history."}), nil
}

// child is an object of the document, or a new one.
func child(parent Object, name string) (Object, error) {
	value, ok := parent[name]
	if !ok {
		return Object{}, nil
	}
	object, ok := value.(Object)
	if !ok {
		return nil, fmt.Errorf("openapi: %q of the document is a %T: give it as a map, as encoding/json reads it", name, value)
	}
	return object, nil
}

// collides reports a name that is taken by something else. Documents that were
// read from JSON have other types for the same things.
func collides(where string, have, added Object) error {
	for key, value := range added {
		if old, taken := have[key]; taken && !reflect.DeepEqual(plain(old), plain(value)) {
			return fmt.Errorf("openapi: %s of the document has another %q: mount elsewhere or rename it", where, key)
		}
	}
	return nil
}

// plain is the value as encoding/json reads it.
func plain(v any) (p any) {
	text, err := json.Marshal(v)
	if err != nil {
		return v
	}
	if json.Unmarshal(text, &p) != nil {
		return v
	}
	return p
}

// Handler serves [Document] as JSON.
func Handler(opts *Options) http.Handler { return serve(Document(opts)) }

func serve(doc Object) http.Handler {
	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		err = errors.Join(errors.New("openapi: Options.Data or Options.Security is no JSON"), err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		_, _ = w.Write(text) // fails if the client went away
	})
}
