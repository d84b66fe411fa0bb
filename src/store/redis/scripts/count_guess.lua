local hash, limit, now = unpack(ARGV, 2)
if not pending(hash, now) then
  return false
end
local key = P .. ':p:' .. hash
if tonumber(redis.call('HGET', key, 'guesses')) >= tonumber(limit) then
  return false
end
local guesses = redis.call('HINCRBY', key, 'guesses', 1)
if guesses >= tonumber(limit) then
  redis.call('HSET', key, 'spent', 1)
end
return guesses
