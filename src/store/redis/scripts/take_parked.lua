local key = P .. ':q:' .. ARGV[2]
local found = redis.call('HMGET', key, 'account', 'sealed', 'expires')
if not found[1] then
  return false
end
redis.call('DEL', key)
redis.call('ZREM', P .. ':qg:' .. found[1], ARGV[2])
redis.call('ZREM', P .. ':qa', ARGV[2])
return found
