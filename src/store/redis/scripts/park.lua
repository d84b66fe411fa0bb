-- ARGV from the second: hash of the token, account, sealed request, expiry, time, lifetime in
-- milliseconds, maximum number of requests of the account, and of all accounts.
local id, account, sealed, expires, now, ms, most, most_of_all = unpack(ARGV, 2)
local records, mine, all = P .. ':q:', P .. ':qg:' .. account, P .. ':qa'
local key = records .. id
local former = redis.call('HGET', key, 'account')
redis.call('HSET', key, 'account', account, 'sealed', sealed, 'expires', expires)
redis.call('PEXPIRE', key, ms)
if former then
  redis.call('ZREM', P .. ':qg:' .. former, id)
end
redis.call('ZREMRANGEBYSCORE', all, '-inf', now)
redis.call('ZADD', all, expires, id)
redis.call('PEXPIRE', all, ms)
for _, oldest in ipairs(join(mine, records, id, now, expires, ms, most)) do
  redis.call('ZREM', all, oldest)
end
if redis.call('ZCARD', all) > tonumber(most_of_all) then
  redis.call('DEL', key)
  redis.call('ZREM', mine, id)
  redis.call('ZREM', all, id)
  return 0
end
return 1
