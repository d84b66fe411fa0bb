local hash, limit, now = unpack(ARGV, 2)
if not pending(hash, now) then
  return false
end
local guesses = redis.call('HINCRBY', P .. ':p:' .. hash, 'guesses', 1)
if guesses > tonumber(limit) then
  end_pending(hash)
  return false
end
return guesses
