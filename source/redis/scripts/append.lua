-- Appends. ARGV: a new epoch, the epoch and head that the caller knows, whether
-- a duplicate must write too (so that WAIT waits for it), then six for each
-- event: id, topic, type, key, data, meta.
-- Returns epoch, floor, the head before, the time in microseconds, and for each
-- event that was not added its index and seq.
local log = open(ARGV[1])
if log.err then return log end
local epoch, head = log.epoch, log.head
if head + (#ARGV - 4) / 6 > 9007199254740991 then return redis.error_reply('GAPLESSFULL') end
-- A head below what an appender of this epoch was told: acknowledged events are lost.
if epoch == ARGV[2] and head < tonumber(ARGV[3]) then epoch = ARGV[1] end

local now = redis.call('TIME')
local time = now[1] .. string.format('%06d', now[2])
local reply = {epoch, text(log.floor), text(log.head), time}
local largest = log.max
local set = {'head', '', 'epoch', epoch, 'max', ''}
local fresh = {}
for i = 5, #ARGV, 6 do
  local id = ARGV[i]
  local at = nil
  if id ~= '' then
    at = fresh[id] or tonumber(redis.call('HGET', meta, 'i:' .. id) or nil)
    if at and at <= log.floor then at = nil end
  end
  if at then
    reply[#reply + 1] = (i - 5) / 6
    reply[#reply + 1] = text(at)
  else
    head = head + 1
    redis.call('XADD', stream, text(head) .. '-0', 'id', id, 'topic', ARGV[i + 1], 'type', ARGV[i + 2],
      'key', ARGV[i + 3], 'time', time, 'data', ARGV[i + 4], 'meta', ARGV[i + 5])
    largest = math.max(largest, #id + #ARGV[i + 1] + #ARGV[i + 2] + #ARGV[i + 3] + #ARGV[i + 4] + #ARGV[i + 5])
    if id ~= '' then
      fresh[id] = head
      set[#set + 1] = 'i:' .. id
      set[#set + 1] = text(head)
    end
  end
end
if head > log.head or epoch ~= log.epoch or ARGV[4] == '1' then
  set[2], set[6] = text(head), text(largest)
  for i = 1, #set, 1000 do
    redis.call('HSET', meta, unpack(set, i, math.min(i + 999, #set)))
  end
end
return reply
