CREATE TABLE IF NOT EXISTS orders (
    id       TEXT PRIMARY KEY,
    customer TEXT NOT NULL,
    cents    INTEGER NOT NULL
);

-- The read model.
CREATE TABLE IF NOT EXISTS customers (
    name   TEXT PRIMARY KEY,
    orders INTEGER NOT NULL,
    cents  INTEGER NOT NULL
);

-- The orders whose mails were sent.
CREATE TABLE IF NOT EXISTS sent (
    id TEXT PRIMARY KEY
);
