local hash, now, ms = unpack(ARGV, 2)
local key = P .. ':s:' .. hash
local known = redis.call('HMGET', key, 'account', 'id', 'seen')
if not known[1] or tonumber(known[3]) > tonumber(now) then
  return 0
end
redis.call('HSET', key, 'seen', now)
redis.call('PEXPIRE', key, ms)
redis.call('PEXPIRE', P .. ':i:' .. known[2], ms)
index(known[1], 's:' .. hash, tonumber(ms))
return 1
