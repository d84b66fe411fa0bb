local hash, now, ms = unpack(ARGV, 2)
-- The use of a branch is a use of its root.
local root = redis.call('HGET', P .. ':s:' .. hash, 'root')
if root then
  guard(P .. ':s:' .. hash)
  hash = root
end
local key = P .. ':s:' .. hash
local known = redis.call('HMGET', key, 'account', 'id', 'seen')
if not known[1] or tonumber(known[3]) > tonumber(now) then
  guard(key)
  return 0
end
redis.call('HSET', key, 'seen', now)
redis.call('PEXPIRE', key, ms)
redis.call('PEXPIRE', P .. ':i:' .. known[2], ms)
index(known[1], 's:' .. hash, tonumber(ms))
return 1
