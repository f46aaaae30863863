-- Appends. ARGV: a new epoch, the epoch and head that the caller knows, whether
-- a duplicate must write too (so that WAIT waits for it), the bytes of the
-- largest event, how many events have an ID; an event that the caller has seen
-- (seq, or 0 for none, time, bytes of its value, how that begins); then the
-- value of each event.
-- Returns epoch, floor, the head before, the time in microseconds, and for each
-- event that was not added its index and seq.
local log = open(ARGV[1])
if log.err then return log end
local epoch, head, largest = log.epoch, log.head, math.max(log.max, tonumber(ARGV[5]))
local first = 11
if head + #ARGV > 9007199254740991 then return redis.error_reply('GAPLESSFULL') end

-- another is true if the log has another event where the caller has seen one.
local function another()
  if ARGV[7] == '0' then return false end
  local at = redis.call('XRANGE', stream, ARGV[7] .. '-0', ARGV[7] .. '-0')[1]
  if not at or alien(at) then return false end
  local value = at[2][2]
  return at[2][1] ~= ARGV[8] or #value ~= tonumber(ARGV[9]) or string.sub(value, 1, #ARGV[10]) ~= ARGV[10]
end
-- Below what an appender of this epoch was told, or another event: acknowledged
-- events are lost.
if epoch == ARGV[2] and (head < tonumber(ARGV[3]) or another()) then epoch = ARGV[1] end

local call, format = redis.call, string.format
local now = call('TIME')
local time = now[1] .. format('%06d', now[2])
-- A number as an argument would be printed as a fraction, which costs twice as much.
local reply = {epoch, text(log.floor), text(head), time}
local set = {}
if ARGV[6] == '0' then
  for i = first, #ARGV do
    head = head + 1
    call('XADD', stream, format('%d', head), time, ARGV[i])
  end
else
  local fresh = {}
  for i = first, #ARGV do
    local id = string.match(ARGV[i], '^%Z*')
    local at = nil
    if id ~= '' then
      at = fresh[id] or tonumber(call('HGET', meta, 'i:' .. id) or nil)
      if at and at <= log.floor then at = nil end
    end
    if at then
      reply[#reply + 1] = i - first
      reply[#reply + 1] = text(at)
    else
      head = head + 1
      call('XADD', stream, format('%d', head), time, ARGV[i])
      if id ~= '' then
        fresh[id] = head
        set[#set + 1] = 'i:' .. id
        set[#set + 1] = text(head)
      end
    end
  end
end
if head > log.head or epoch ~= log.epoch or ARGV[4] == '1' then
  set[#set + 1], set[#set + 2] = 'head', text(head)
end
if epoch ~= log.epoch then
  set[#set + 1], set[#set + 2] = 'epoch', epoch
end
if head > log.head and largest > log.max then
  set[#set + 1], set[#set + 2] = 'max', text(largest)
end
for i = 1, #set, 1000 do
  call('HSET', meta, unpack(set, i, math.min(i + 999, #set)))
end
return reply
