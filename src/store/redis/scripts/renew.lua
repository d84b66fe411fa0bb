-- ARGV from the second: hash of the old token, hash of the new token, public id, account, record,
-- last use, time to live in milliseconds, codes due, then the offered authenticator and the offered
-- codes, unless those of the old session are carried over. The last three may be empty.
local old, hash, id, account, record, seen, ms, due = unpack(ARGV, 2, 9)
local offers = {ARGV[10], ARGV[11]}
if not ARGV[10] then
  offers = redis.call('HMGET', P .. ':s:' .. old, 'authenticator', 'recovery_codes')
end
if end_session(old) ~= 1 then
  return 0
end
local key = P .. ':s:' .. hash
redis.call('HSET', key, 'account', account, 'id', id, 'record', record, 'seen', seen)
for field, value in pairs({due = due, authenticator = offers[1], recovery_codes = offers[2]}) do
  if value and value ~= '' then
    redis.call('HSET', key, field, value)
  end
end
redis.call('PEXPIRE', key, ms)
redis.call('SET', P .. ':i:' .. id, hash, 'PX', ms)
index(account, 's:' .. hash, tonumber(ms))
-- App tokens bound to the session stay valid under its new id.
local bound = P .. ':b:' .. old
if old ~= hash and redis.call('EXISTS', bound) == 1 then
  for _, token in ipairs(redis.call('LRANGE', bound, 0, -1)) do
    redis.call('SET', P .. ':t:' .. token, hash, 'KEEPTTL')
  end
  redis.call('RENAME', bound, P .. ':b:' .. hash)
end
return 1
