local hash, limit, now = unpack(ARGV, 2)
if not pending(hash, now) then
  return false
end
local key = P .. ':p:' .. hash
if tonumber(redis.call('HGET', key, 'guesses')) >= tonumber(limit) then
  return false
end
return redis.call('HINCRBY', key, 'guesses', 1)
