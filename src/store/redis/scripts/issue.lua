-- ARGV from the second: kind of the record, field with its group, hash, record, group, time, expiry, lifetime in
-- milliseconds, maximum number of records in the group.
local kind, field, id, record, group, now, expires, ms, most = unpack(ARGV, 2)
local prefix = P .. ':' .. kind
local key, others = prefix .. ':' .. id, prefix .. 'g:' .. group
redis.call('HSET', key, 'record', record, 'expires', expires, field, group)
redis.call('PEXPIRE', key, ms)
redis.call('ZREMRANGEBYSCORE', others, '-inf', now)
redis.call('ZADD', others, expires, id)
redis.call('PEXPIRE', others, ms)
local over = redis.call('ZCARD', others) - tonumber(most)
if over > 0 then
  for _, oldest in ipairs(redis.call('ZRANGE', others, 0, over - 1)) do
    redis.call('DEL', prefix .. ':' .. oldest)
    redis.call('ZREM', others, oldest)
  end
end
return 1
