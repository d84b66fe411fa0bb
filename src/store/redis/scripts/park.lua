-- ARGV from the second: hash of the token, account, sealed request, expiry, time, lifetime in
-- milliseconds, maximum number of requests of the account, and of all accounts.
local id, account, sealed, expires, now, ms, most, most_of_all = unpack(ARGV, 2)
local key, mine, all = P .. ':q:' .. id, P .. ':qg:' .. account, P .. ':qa'
local former = redis.call('HGET', key, 'account')
redis.call('HSET', key, 'account', account, 'sealed', sealed, 'expires', expires)
redis.call('PEXPIRE', key, ms)
if former then
  redis.call('ZREM', P .. ':qg:' .. former, id)
end
redis.call('ZREMRANGEBYSCORE', all, '-inf', now)
redis.call('ZREMRANGEBYSCORE', mine, '-inf', now)
redis.call('ZADD', mine, expires, id)
redis.call('PEXPIRE', mine, ms)
redis.call('ZADD', all, expires, id)
redis.call('PEXPIRE', all, ms)
local over = redis.call('ZCARD', mine) - tonumber(most)
if over > 0 then
  for _, oldest in ipairs(redis.call('ZRANGE', mine, 0, over - 1)) do
    redis.call('DEL', P .. ':q:' .. oldest)
    redis.call('ZREM', mine, oldest)
    redis.call('ZREM', all, oldest)
  end
end
if redis.call('ZCARD', all) > tonumber(most_of_all) then
  redis.call('DEL', key)
  redis.call('ZREM', mine, id)
  redis.call('ZREM', all, id)
  return 0
end
return 1
