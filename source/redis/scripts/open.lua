-- Common beginning of every script. KEYS[1] is the log's hash: v, epoch, floor,
-- head, length (entries that the stream is known to have), max (bytes of the
-- largest event) and i:<id> = seq for every event with an ID.
-- KEYS[2] is its stream. The entry with the id s-k holds the events s-k to s. Its
-- parts, which are names and values in turn for Redis, are the time in
-- microseconds, an empty one if that makes their number even, and the value of
-- each event: ID, topic, type, key, how many names the metadata have (nothing for
-- none), the names and values: each with a NUL behind it; then the data.
--
-- A script has checked everything before its first write, and its first write
-- is one that the server refuses when it has no memory: so nothing is ever half
-- done.
local meta, stream = KEYS[1], KEYS[2]

local function text(n) return string.format('%.0f', n) end

-- span returns the first and the last seq of an entry, and which part of it the
-- first value is.
local function span(entry)
  local s, k = string.match(entry[1], '^(%d+)-(%d+)$')
  return tonumber(s) - tonumber(k), tonumber(s), 2 + tonumber(k) % 2
end

-- alien is true for an entry that append.lua did not make.
local function alien(entry)
  local parts = entry[2]
  local first, last, at = span(entry)
  if #parts ~= at + last - first or not string.match(parts[1], '^%d+$') or at == 3 and parts[2] ~= '' then return true end
  for i = at, #parts do
    if not string.match(parts[i], '^%Z*%z%Z*%z%Z*%z%Z*%z%d*%z') then return true end
  end
  return false
end

-- create makes the hash. Where the stream survived it, the numbers go on above
-- what the stream ever had, and all of that counts as removed: its IDs are lost.
local function create(epoch)
  if redis.call('EXISTS', meta) == 1 then
    return redis.error_reply('GAPLESSALIEN ' .. meta)
  end
  local head = 0
  if redis.call('EXISTS', stream) == 1 then
    local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)
    if last[1] and alien(last[1]) then
      return redis.error_reply('GAPLESSALIEN ' .. stream)
    end
    local info = redis.call('XINFO', 'STREAM', stream)
    for i = 1, #info, 2 do
      if info[i] == 'last-generated-id' then head = tonumber(string.match(info[i + 1], '^%d+')) end
    end
  end
  local at = text(head)
  redis.call('HSET', meta, 'v', '3', 'epoch', epoch, 'floor', at, 'head', at, 'length', '0', 'max', '0')
  if head > 0 then redis.call('XTRIM', stream, 'MINID', text(head + 1) .. '-0') end
  return {epoch = epoch, floor = head, head = head, length = 0, max = 0}
end

-- open returns the log's numbers, or an error reply.
local function open(candidate)
  local m = redis.call('HMGET', meta, 'v', 'epoch', 'floor', 'head', 'length', 'max')
  if not m[1] then return create(candidate) end
  if m[1] ~= '3' then return redis.error_reply('GAPLESSVERSION ' .. m[1]) end
  local log = {epoch = m[2], floor = tonumber(m[3]), head = tonumber(m[4]), length = tonumber(m[5]), max = tonumber(m[6])}
  if not (log.epoch and log.floor and log.head and log.length and log.max) then
    return redis.error_reply('GAPLESSDAMAGED ' .. meta)
  end
  return log
end
