-- Common beginning of every script. KEYS[1] is the log's hash: v, epoch, floor,
-- head, holes (entries that other programs removed between floor and head), max
-- (bytes of the largest event) and i:<id> = seq for every event with an ID.
-- KEYS[2] is its stream, whose entry of seq n has the id n-0 and one field. Its
-- name is the time in microseconds. Its value is ID, topic, type, key, how many
-- names the metadata have (nothing for none), the names and values: each with a
-- NUL behind it; then the data.
--
-- A script has checked everything before its first write, and its first write
-- is one that the server refuses when it has no memory: so nothing is ever half
-- done.
local meta, stream = KEYS[1], KEYS[2]

local function text(n) return string.format('%.0f', n) end
local function seq(id) return tonumber(string.match(id, '^%d+')) end

-- alien is true for an entry that append.lua did not make.
local function alien(entry)
  local fields = entry[2]
  return #fields ~= 2 or not string.match(fields[1], '^%d+$') or not string.match(fields[2], '^%Z*%z%Z*%z%Z*%z%Z*%z%d*%z')
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
      if info[i] == 'last-generated-id' then head = seq(info[i + 1]) end
    end
  end
  local at = text(head)
  redis.call('HSET', meta, 'v', '2', 'epoch', epoch, 'floor', at, 'head', at, 'holes', '0', 'max', '0')
  if head > 0 then redis.call('XTRIM', stream, 'MINID', text(head + 1) .. '-0') end
  return {epoch = epoch, floor = head, head = head, max = 0}
end

-- open returns the log's numbers, or an error reply.
local function open(candidate)
  local m = redis.call('HMGET', meta, 'v', 'epoch', 'floor', 'head', 'max')
  if not m[1] then return create(candidate) end
  if m[1] ~= '2' then return redis.error_reply('GAPLESSVERSION ' .. m[1]) end
  local log = {epoch = m[2], floor = tonumber(m[3]), head = tonumber(m[4]), max = tonumber(m[5])}
  if not (log.epoch and log.floor and log.head and log.max) then
    return redis.error_reply('GAPLESSDAMAGED ' .. meta)
  end
  return log
end
