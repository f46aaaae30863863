-- Appends. ARGV: a new epoch, the epoch and head that the caller knows, whether
-- a duplicate must write too (so that WAIT waits for it), the bytes of the
-- largest event, how many events have an ID; an event that the caller has seen
-- (seq, or 0 for none, time, bytes of its value, how that begins); earlier epochs
-- that it has seen, with blanks between; then the value of each event.
-- Returns epoch, floor, the head before, the time in microseconds, and for each
-- event that was not added its index and seq.
local log = open(ARGV[1])
if log.err then return log end
local epoch, head, largest = log.epoch, log.head, math.max(log.max, tonumber(ARGV[5]))
local first = 12
if head + #ARGV > 9007199254740991 then return redis.error_reply('GAPLESSFULL') end

-- differs is true if the log has another event where the caller has seen one.
local function differs()
  if ARGV[7] == '0' then return false end
  local entry = redis.call('XRANGE', stream, ARGV[7] .. '-0', '+', 'COUNT', 1)[1]
  if not entry or alien(entry) then return false end
  local seq, from, _, at = tonumber(ARGV[7]), span(entry)
  if seq < from then return false end
  local value = entry[2][at + seq - from]
  return entry[2][1] ~= ARGV[8] or #value ~= tonumber(ARGV[9]) or string.sub(value, 1, #ARGV[10]) ~= ARGV[10]
end
-- A head below what an appender of this epoch has seen, or another event, or an
-- earlier epoch: acknowledged events are lost.
if epoch == ARGV[2] and (head < tonumber(ARGV[3]) or differs()) or string.find(' ' .. ARGV[11] .. ' ', ' ' .. epoch .. ' ', 1, true) then
  epoch = ARGV[1]
end

local call, format = redis.call, string.format
local now = call('TIME')
local time = now[1] .. format('%06d', now[2])
-- A number as an argument would be printed as a fraction, which costs twice as much.
local reply = {epoch, text(log.floor), text(head), time}

-- Events that come together share an entry, which saves most of what one costs.
-- What one holds at most is maxEvents and maxBytes, which value.go sets.
local from, bytes, entries = nil, 0, 0
local function add(to)
  if not from then return end
  local n = to - from + 1
  head, entries = head + n, entries + 1
  local id = format('%d-%d', head, n - 1)
  if n % 2 == 1 then
    call('XADD', stream, id, time, unpack(ARGV, from, to))
  else
    call('XADD', stream, id, time, '', unpack(ARGV, from, to))
  end
  from = nil
end

local ids = ARGV[6] ~= '0'
local set, added = {}, {}
for i = first, #ARGV do
  local id, at = '', nil
  if ids then
    id = string.match(ARGV[i], '^%Z*')
    if id ~= '' then
      at = added[id] or tonumber(call('HGET', meta, 'i:' .. id) or nil)
      if at and at <= log.floor then at = nil end
    end
  end
  if at then
    add(i - 1)
    reply[#reply + 1] = i - first
    reply[#reply + 1] = text(at)
  else
    if from and (i - from == maxEvents or bytes + #ARGV[i] > maxBytes) then add(i - 1) end
    if not from then from, bytes = i, 0 end
    bytes = bytes + #ARGV[i]
    if id ~= '' then
      added[id] = head + i - from + 1
      set[#set + 1] = 'i:' .. id
      set[#set + 1] = text(added[id])
    end
  end
end
add(#ARGV)

if head > log.head or epoch ~= log.epoch or ARGV[4] == '1' then
  set[#set + 1], set[#set + 2] = 'head', text(head)
  set[#set + 1], set[#set + 2] = 'length', text(log.length + entries)
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
