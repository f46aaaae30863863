-- The tables of a program that logs its changes by triggers of its own, and
-- the log as it has always been: gapless leaves all of it as it is.

CREATE TABLE IF NOT EXISTS projects (
    id   TEXT PRIMARY KEY,
    name TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS sessions (
    id         TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    title      TEXT NOT NULL,
    status     TEXT NOT NULL DEFAULT 'open'
);

CREATE TABLE IF NOT EXISTS change_log (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id TEXT,
    session_id TEXT,
    type       TEXT NOT NULL,
    payload    TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

CREATE TRIGGER IF NOT EXISTS sessions_created AFTER INSERT ON sessions
BEGIN
    INSERT INTO change_log (project_id, session_id, type, payload)
    VALUES (NEW.project_id, NEW.id, 'session_created', json_object('title', NEW.title, 'status', NEW.status));
END;

CREATE TRIGGER IF NOT EXISTS sessions_updated AFTER UPDATE ON sessions
WHEN OLD.title IS NOT NEW.title OR OLD.status IS NOT NEW.status
BEGIN
    INSERT INTO change_log (project_id, session_id, type, payload)
    VALUES (NEW.project_id, NEW.id, 'session_updated', json_object('title', NEW.title, 'status', NEW.status));
END;

CREATE TRIGGER IF NOT EXISTS sessions_deleted AFTER DELETE ON sessions
BEGIN
    INSERT INTO change_log (project_id, session_id, type, payload)
    VALUES (OLD.project_id, OLD.id, 'session_deleted', '{}');
END;
