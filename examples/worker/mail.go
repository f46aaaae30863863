package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
)

// mail is what a customer got.
type mail struct {
	Key   string `json:"key"`
	To    string `json:"to"`
	Text  string `json:"text"`
	Tries int    `json:"tries"` // how often it was asked for
}

// mailbox stands for a provider of mails: it delivers one for each key,
// however often it is asked to.
type mailbox struct {
	mu    sync.Mutex
	mails []mail
}

func (b *mailbox) post(w http.ResponseWriter, r *http.Request) {
	var m mail
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&m)
	m.Key, m.Tries = r.Header.Get("Idempotency-Key"), 1
	if err != nil || m.Key == "" {
		http.Error(w, "want a mail with an Idempotency-Key", http.StatusBadRequest)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.IndexFunc(b.mails, func(sent mail) bool { return sent.Key == m.Key }); i >= 0 {
		b.mails[i].Tries++
	} else {
		b.mails = append(b.mails, m)
	}
	w.WriteHeader(http.StatusNoContent)
}

func (b *mailbox) get(w http.ResponseWriter, _ *http.Request) {
	b.mu.Lock()
	list := slices.Clone(b.mails)
	b.mu.Unlock()
	lines(w, list)
}

// provider sends the mail for an order to a provider, with a key by which that
// knows it again.
func provider(url string) func(ctx context.Context, key string, o order) error {
	return func(ctx context.Context, key string, o order) error {
		body, err := json.Marshal(map[string]string{"to": o.Customer, "text": fmt.Sprintf("Thank you for %s of %d cents", o.ID, o.Cents)})
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Idempotency-Key", key)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		if res.StatusCode != http.StatusNoContent {
			err = fmt.Errorf("the provider of mails answers %s", res.Status)
		}
		return errors.Join(err, res.Body.Close())
	}
}
