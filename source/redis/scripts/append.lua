-- Appends. ARGV: a new epoch, the epoch and head that the caller knows, whether
-- a duplicate must write too (so that WAIT waits for it), then three for each
-- event: its ID, its other texts, its data.
-- Returns epoch, floor, the head before, the time in microseconds, and for each
-- event that was not added its index and seq.
local log = open(ARGV[1])
if log.err then return log end
local epoch, head = log.epoch, log.head
if head + (#ARGV - 4) / 3 > 9007199254740991 then return redis.error_reply('GAPLESSFULL') end
-- A head below what an appender of this epoch was told: acknowledged events are lost.
if epoch == ARGV[2] and head < tonumber(ARGV[3]) then epoch = ARGV[1] end

local now = redis.call('TIME')
local time = now[1] .. string.format('%06d', now[2])
local begin = time .. '\0'
local reply = {epoch, text(log.floor), text(log.head), time}
local largest = log.max
local set = {'head', '', 'epoch', epoch, 'max', ''}
local fresh = {}
for i = 5, #ARGV, 3 do
  local id = ARGV[i]
  local at = nil
  if id ~= '' then
    at = fresh[id] or tonumber(redis.call('HGET', meta, 'i:' .. id) or nil)
    if at and at <= log.floor then at = nil end
  end
  if at then
    reply[#reply + 1] = (i - 5) / 3
    reply[#reply + 1] = text(at)
  else
    head = head + 1
    redis.call('XADD', stream, text(head) .. '-0', 'e', begin .. id .. '\0' .. ARGV[i + 1], 'd', ARGV[i + 2])
    largest = math.max(largest, #id + #ARGV[i + 1] + #ARGV[i + 2])
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
