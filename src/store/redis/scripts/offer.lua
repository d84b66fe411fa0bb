-- ARGV from the second: hash of the token, name of the offer, sealed offer.
local hash, field, sealed = unpack(ARGV, 2)
local key = P .. ':s:' .. hash
if redis.call('EXISTS', key) == 0 then
  guard(key)
  return false
end
redis.call('HSETNX', key, field, sealed)
return redis.call('HGET', key, field)
