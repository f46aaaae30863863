// Command sqlite puts a resumable stream on a change_log that a program
// already has: a SQLite table filled by the program's own triggers, which
// gapless reads without altering it.
//
//	sqlite [-addr 127.0.0.1:8080] [-db sessions.db]
//
//	GET    /api/v1/events          the stream, in the frames that the program's clients know
//	PUT    /api/v1/sessions/{id}   {"projectId","title","status"}: make or change a session
//	DELETE /api/v1/sessions/{id}
//
// Any other program that writes to the file is seen too, sqlite3 for instance.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jmoiron/sqlx"
	_ "modernc.org/sqlite" // the driver

	sqllog "github.com/gapless-go/gapless/source/sql"
	"github.com/gapless-go/gapless/transport/sse"
)

//go:embed schema.sql
var schema string

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`host:port` to listen on")
	file := flag.String("db", "sessions.db", "SQLite `file`; made if it is missing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, *file); err != nil {
		fmt.Fprintln(os.Stderr, "sqlite:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, addr, file string) error {
	a, err := openApp(ctx, file)
	if err != nil {
		return err
	}
	defer func() { _ = a.close() }() //nolint:contextcheck // ctx has ended; it takes no time
	server := &http.Server{Addr: addr, Handler: a.routes(), ReadHeaderTimeout: 10 * time.Second}
	server.RegisterOnShutdown(func() { _ = a.stream.Close() }) //nolint:contextcheck // ctx has ended; its clients come back later
	context.AfterFunc(ctx, func() {                            //nolint:contextcheck // ctx has ended
		deadline, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = server.Shutdown(deadline) // what is still open then ends with the process
	})
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// app is the program: its database and the stream on its log.
type app struct {
	db     *sqlx.DB
	log    *sqllog.Log
	stream *sse.Handler
}

// openApp makes the program's own tables, then opens the log on them: beside
// change_log appear change_log_head and a trigger that notes deleted rows.
func openApp(ctx context.Context, file string) (*app, error) {
	db, err := sqlx.Open("sqlite", "file:"+url.PathEscape(file)+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)")
	if err != nil {
		return nil, err
	}
	a := &app{db: db}
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", file, err), a.close()) //nolint:contextcheck // it takes no time
	}
	a.log, err = sqllog.Open(ctx, db, "change_log", &sqllog.Options{Columns: &sqllog.Columns{
		Seq: "seq", Topic: "project_id", Key: "session_id", Type: "type", Data: "payload", Time: "created_at",
	}})
	if err == nil {
		a.stream, err = sse.NewHandler(a.log, &sse.Options{Compat: true, Replay: sse.Replay{Max: 10_000}})
	}
	if err != nil {
		return nil, errors.Join(err, a.close()) //nolint:contextcheck // it takes no time
	}
	return a, nil
}

func (a *app) close() error {
	var err error
	if a.stream != nil {
		err = a.stream.Close()
	}
	if a.log != nil {
		err = errors.Join(err, a.log.Close())
	}
	return errors.Join(err, a.db.Close())
}

func (a *app) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /api/v1/events", a.stream)
	mux.HandleFunc("PUT /api/v1/sessions/{id}", a.putSession)
	mux.HandleFunc("DELETE /api/v1/sessions/{id}", func(w http.ResponseWriter, r *http.Request) {
		_, err := a.db.ExecContext(r.Context(), "DELETE FROM sessions WHERE id = ?", r.PathValue("id"))
		answer(w, err)
	})
	return mux
}

// putSession knows nothing of the log: the triggers write it.
func (a *app) putSession(w http.ResponseWriter, r *http.Request) {
	s := struct{ ProjectID, Title, Status string }{Status: "open"}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&s); err != nil {
		http.Error(w, "want {\"projectId\",\"title\",\"status\"}: "+err.Error(), http.StatusBadRequest)
		return
	}
	_, err := a.db.ExecContext(r.Context(), "INSERT INTO sessions (id, project_id, title, status) VALUES (?, ?, ?, ?)"+
		" ON CONFLICT (id) DO UPDATE SET title = excluded.title, status = excluded.status", r.PathValue("id"), s.ProjectID, s.Title, s.Status)
	answer(w, err)
}

func answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
