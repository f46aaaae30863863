package sse

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
)

// problem is an answer before the stream: RFC 9457 problem details.
type problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail,omitempty"`
}

func (p *problem) Error() string { return p.Title + ": " + p.Detail }

func badRequest(detail string) *problem {
	return &problem{Status: http.StatusBadRequest, Title: http.StatusText(http.StatusBadRequest), Detail: detail}
}

// refusal turns an error of Options.Authorize into an answer.
func refusal(err error) *problem {
	p := &problem{Status: http.StatusForbidden}
	if access, ok := errors.AsType[*AccessError](err); ok {
		p.Detail = access.Detail
		if access.Status >= 400 && access.Status <= 599 {
			p.Status = access.Status
		}
	}
	if p.Title = http.StatusText(p.Status); p.Title == "" {
		p.Title = "Refused"
	}
	return p
}

func (p *problem) write(w http.ResponseWriter) {
	body, err := json.Marshal(p)
	if err != nil {
		http.Error(w, p.Title, p.Status)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // nobody to tell if the client has gone
}
