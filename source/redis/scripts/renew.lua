-- Changes the epoch. ARGV: a new epoch, the epoch that must still be there, or
-- nothing for any. Returns the epoch.
local log = open(ARGV[1])
if log.err then return log end
if ARGV[2] == '' or ARGV[2] == log.epoch then
  redis.call('HSET', meta, 'epoch', ARGV[1])
  return ARGV[1]
end
return log.epoch
