-- ARGV from the second: hash of the former branch's token, hash of the new one's.
local old, hash = unpack(ARGV, 2)
local former = redis.call('HMGET', P .. ':s:' .. old, 'root', 'app')
local new = redis.call('HMGET', P .. ':s:' .. hash, 'root', 'app')
if old == hash or not former[1] or former[1] ~= new[1] or former[2] ~= new[2] then
  return 0
end
local bound = P .. ':b:' .. old
if redis.call('EXISTS', bound) == 1 then
  for _, token in ipairs(redis.call('LRANGE', bound, 0, -1)) do
    redis.call('SET', P .. ':t:' .. token, hash, 'KEEPTTL')
  end
  redis.call('RENAME', bound, P .. ':b:' .. hash)
end
return 1
