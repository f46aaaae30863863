package gz_test

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"fmt"
	"io"
	"testing"

	"github.com/gapless-go/gapless/transport/sse/internal/gz"
)

// body is a gzip body of texts, each of which is compressed or stored.
func body(texts [][]byte, stored func(i int) bool) []byte {
	var sum gz.Sum
	out := []byte(gz.Header)
	for i, text := range texts {
		if stored(i) {
			out = gz.AppendStored(out, text)
			sum.AddText(text)
		} else {
			p := gz.Compress(text)
			out = append(out, p.Data...)
			sum.Add(p)
		}
	}
	return sum.AppendEnd(out)
}

func decode(t *testing.T, body []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("after %d bytes: %v", len(text), err)
	}
	return text
}

func frames(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "data: {\"n\":%d,\"text\":\"something that comes again\"}\nid: epoch.%d\n\n", i, i)
	}
	return b.Bytes()
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

func texts() [][]byte {
	return [][]byte{
		frames(1), frames(400), random(100), []byte("x"), frames(3000), random(200_000),
		{},
		frames(1),
		bytes.Repeat([]byte("a"), 65535), bytes.Repeat([]byte("a"), 65536), random(65535), random(65536),
	}
}

// Parts and stored texts in any order are one body, the checksum included.
func TestBody(t *testing.T) {
	all := texts()
	want := bytes.Join(all, nil)
	for name, stored := range map[string]func(int) bool{
		"compressed": func(int) bool { return false },
		"stored":     func(int) bool { return true },
		"both":       func(i int) bool { return i%2 == 0 },
	} {
		if got := decode(t, body(all, stored)); !bytes.Equal(got, want) {
			t.Errorf("%s: got %d bytes, want %d that are the same", name, len(got), len(want))
		}
	}
	if got := decode(t, body(nil, nil)); len(got) != 0 {
		t.Errorf("an empty body has %d bytes", len(got))
	}
}

// Each part can be the first of a body: it refers to nothing before it, though
// the same compressor has just seen the same text.
func TestPartsAreIndependent(t *testing.T) {
	for _, text := range [][]byte{frames(1), frames(200), frames(2000)} {
		for range 3 {
			if got := decode(t, body([][]byte{text}, func(int) bool { return false })); !bytes.Equal(got, text) {
				t.Errorf("got %d bytes, want %d that are the same", len(got), len(text))
			}
		}
	}
}

// A part is not larger than the text that is stored.
func TestPartsDoNotGrow(t *testing.T) {
	for _, text := range texts() {
		p, stored := gz.Compress(text), gz.AppendStored(nil, text)
		if len(p.Data) > len(stored) {
			t.Errorf("%d bytes are %d, stored %d", len(text), len(p.Data), len(stored))
		}
	}
	if text := frames(200); len(gz.Compress(text).Data) > len(text)/4 {
		t.Errorf("%d bytes of frames are %d", len(text), len(gz.Compress(text).Data))
	}
}

// onePart hands out one element with each Read, and fails when there is none.
type onePart struct {
	t     *testing.T
	parts [][]byte
}

func (r *onePart) Read(p []byte) (int, error) {
	if len(r.parts) == 0 {
		r.t.Fatal("the reader wants more before it hands out what it has")
	}
	n := copy(p, r.parts[0])
	if r.parts[0] = r.parts[0][n:]; len(r.parts[0]) == 0 {
		r.parts = r.parts[1:]
	}
	return n, nil
}

// A reader hands out all of a part when it has it.
func TestPartsAreHandedOutAtOnce(t *testing.T) {
	source := &onePart{t: t, parts: [][]byte{[]byte(gz.Header)}}
	r, err := gzip.NewReader(source)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range texts() {
		for _, data := range [][]byte{gz.Compress(text).Data, gz.AppendStored(nil, text)} {
			source.parts = [][]byte{data}
			got := make([]byte, len(text))
			if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, text) {
				t.Fatalf("text %d: %v, or other bytes", i, err)
			}
		}
	}
}

// What was cut at any byte is no whole body.
func TestCutBodies(t *testing.T) {
	whole := body([][]byte{frames(3), frames(1)}, func(i int) bool { return i == 1 })
	for n := range whole {
		r, err := gzip.NewReader(bytes.NewReader(whole[:n]))
		if err == nil {
			_, err = io.ReadAll(r)
		}
		if err == nil {
			t.Errorf("%d of %d bytes are taken for all", n, len(whole))
		}
	}
}

func FuzzBody(f *testing.F) {
	f.Add(frames(20), 10, 300, byte(2))
	f.Add(random(70_000), 0, 66_000, byte(5))
	f.Fuzz(func(t *testing.T, text []byte, a, b int, stored byte) {
		a = min(max(a, 0), len(text))
		b = min(max(a, b), len(text))
		got := decode(t, body([][]byte{text[:a], text[a:b], text[b:]}, func(i int) bool { return stored>>i&1 != 0 }))
		if !bytes.Equal(got, text) {
			t.Errorf("got %q, want %q", got, text)
		}
	})
}
