-- ARGV from the second: hash of the token, what is offered, the offer.
local hash, field, sealed = unpack(ARGV, 2)
local key = P .. ':s:' .. hash
if redis.call('EXISTS', key) == 0 then
  return false
end
redis.call('HSETNX', key, field, sealed)
return redis.call('HGET', key, field)
