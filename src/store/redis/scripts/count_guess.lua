local hash, limit, now = unpack(ARGV, 2)
local key = P .. ':p:' .. hash
if not pending(hash, now) or tonumber(redis.call('HGET', key, 'guesses')) >= tonumber(limit) then
  guard(key)
  return false
end
local guesses = redis.call('HINCRBY', key, 'guesses', 1)
if guesses >= tonumber(limit) then
  redis.call('HSET', key, 'spent', 1)
end
return guesses
