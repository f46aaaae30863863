-- Brings the numbers in line with a stream from which other programs removed
-- entries: the floor rises over what is missing at the beginning, and over the
-- missing seqs ARGV[2]..ARGV[3] if the caller found such a hole (else 0 and 0).
-- Holes above the floor that nobody has read to are only counted.
-- ARGV[1] is a new epoch. Returns the floor.
local log = open(ARGV[1])
if log.err then return log end
local floor = log.floor
local entry = redis.call('XRANGE', stream, text(floor + 1) .. '-0', '+', 'COUNT', 1)[1]
local first = entry and span(entry)
if first and first <= log.head then
  floor = math.max(floor, first - 1)
else
  floor = log.head
end
local from, to = tonumber(ARGV[2]), math.min(tonumber(ARGV[3]), log.head)
if to > floor then
  local inside = redis.call('XRANGE', stream, text(from) .. '-0', '+', 'COUNT', 1)[1]
  if not inside or span(inside) > to then
    floor = to
    redis.call('XTRIM', stream, 'MINID', text(floor + 1) .. '-0')
  end
end
redis.call('HSET', meta, 'floor', text(floor), 'length', text(redis.call('XLEN', stream)))
return text(floor)
