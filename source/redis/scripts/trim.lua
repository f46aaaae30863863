-- Removes events. ARGV: a new epoch, the highest seq to remove.
-- Takes at most 1,000 events, or about 8 MiB of those with IDs, at a time. An
-- entry goes with its last event.
-- Returns how many were removed, the floor and the head.
local log = open(ARGV[1])
if log.err then return log end
local target = math.min(tonumber(ARGV[2]), log.head, log.floor + 1000)
if target <= log.floor then return {0, text(log.floor), text(log.head)} end

local ids = {}
if redis.call('HLEN', meta) > 6 then
  local at, bytes = log.floor, 0
  while at < target do
    local entries = redis.call('XRANGE', stream, text(at + 1) .. '-0', '+', 'COUNT', 20)
    if #entries == 0 then at = target end
    for _, entry in ipairs(entries) do
      local first, last, value = span(entry)
      for seq = math.max(first, log.floor + 1), math.min(last, target) do
        local event = entry[2][value + seq - first] or ''
        local id = string.match(event, '^%Z*')
        if id ~= '' then ids[#ids + 1] = 'i:' .. id end
        bytes = bytes + #event
      end
      at = last
    end
    if bytes > 8388608 then target = math.min(at, target) end
  end
end
-- XTRIM comes first: the server allows it when it has no memory, and what
-- follows a write of a script as well.
redis.call('XTRIM', stream, 'MINID', text(target + 1) .. '-0')
redis.call('HSET', meta, 'floor', text(target), 'length', text(redis.call('XLEN', stream)))
for i = 1, #ids, 1000 do
  for j = i, math.min(i + 999, #ids) do
    local at = tonumber(redis.call('HGET', meta, ids[j]) or nil)
    if at and at <= target then redis.call('HDEL', meta, ids[j]) end
  end
end
return {target - log.floor, text(target), text(log.head)}
