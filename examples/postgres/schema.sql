CREATE TABLE IF NOT EXISTS stock (
    product text PRIMARY KEY,
    pieces  integer NOT NULL CHECK (pieces >= 0)
);

CREATE TABLE IF NOT EXISTS orders (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product text NOT NULL,
    pieces  integer NOT NULL CHECK (pieces > 0)
);

INSERT INTO stock VALUES ('lamp', 10), ('chair', 4) ON CONFLICT DO NOTHING;
