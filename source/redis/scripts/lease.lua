-- Takes, renews or gives up a lease. KEYS: the lease, the state of the worker,
-- the set of all workers. ARGV: holder, term in microseconds (0: give up), worker.
-- Returns holder, generation, revision of the state, what remains of the term.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local lease = redis.call('HMGET', KEYS[1], 'holder', 'generation', 'expires')
local holder, generation, expires = lease[1] or '', tonumber(lease[2] or '0'), tonumber(lease[3] or '0')
local term = tonumber(ARGV[2])
local function text(n) return string.format('%.0f', n) end

if holder == ARGV[1] and expires > 0 then
  expires = term > 0 and now + term or 0
  redis.call('HSET', KEYS[1], 'expires', text(expires))
elseif term > 0 and expires <= now then
  holder, generation, expires = ARGV[1], generation + 1, now + term
  redis.call('HSET', KEYS[1], 'holder', holder, 'generation', text(generation), 'expires', text(expires))
  -- Whoever watches the state and has not executed yet, never will.
  redis.call('HINCRBY', KEYS[2], 'revision', 1)
  redis.call('HSET', KEYS[2], 'generation', text(generation))
  redis.call('SADD', KEYS[3], ARGV[3])
end
local revision = redis.call('HGET', KEYS[2], 'revision') or '0'
return {holder, text(generation), revision, text(math.max(0, expires - now))}
