-- ARGV from the second: reference, time, record, maximum number of records, lifetime in
-- milliseconds. Removes up to a hundred records at a time, because each call adds one.
local records, times, now, lives = P .. ':r', P .. ':rt', tonumber(ARGV[3]), tonumber(ARGV[6])
local function forget(list)
  if #list > 0 then
    redis.call('HDEL', records, unpack(list))
    redis.call('ZREM', times, unpack(list))
  end
end
redis.call('HSET', records, ARGV[2], ARGV[4])
redis.call('ZADD', times, now, ARGV[2])
forget(redis.call('ZRANGEBYSCORE', times, '-inf', now - lives, 'LIMIT', 0, 100))
local over = redis.call('ZCARD', times) - tonumber(ARGV[5])
if over > 0 then
  forget(redis.call('ZRANGE', times, 0, math.min(over, 100) - 1))
end
redis.call('PEXPIRE', records, lives)
redis.call('PEXPIRE', times, lives)
