-- ARGV from the second: hash of the old token, hash of the new token, public id, account, record,
-- last use, time to live in milliseconds, codes due, then the offered authenticator and the offered
-- codes, unless those of the old session are carried over. The last three may be empty.
local old, hash, id, account, record, seen, ms, due = unpack(ARGV, 2, 9)
local offers = {ARGV[10], ARGV[11]}
if not ARGV[10] then
  offers = redis.call('HMGET', P .. ':s:' .. old, 'authenticator', 'recovery_codes')
end
-- Only a root continues under a new id.
if redis.call('HMGET', P .. ':s:' .. old, 'record')[1] == false then
  guard(P .. ':s:' .. old)
  return 0
end
-- The first write, which a full server rejects. It is repeated in case both have the same id.
redis.call('SET', P .. ':i:' .. id, hash, 'PX', ms)
-- The branches continue below the new id.
local branches = redis.call('LRANGE', branches_key(old), 0, -1)
local branches_ms = redis.call('PTTL', branches_key(old))
redis.call('DEL', branches_key(old))
end_session(old)
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
for _, member in ipairs(branches) do
  local branch = P .. ':s:' .. branch_of(member)
  if redis.call('EXISTS', branch) == 1 then
    redis.call('HSET', branch, 'root', hash)
    redis.call('RPUSH', branches_key(hash), member)
    redis.call('PEXPIRE', branches_key(hash), branches_ms)
  end
end
-- App tokens bound to the session stay valid under its new id.
local bound = P .. ':b:' .. old
if old ~= hash and redis.call('EXISTS', bound) == 1 then
  for _, token in ipairs(redis.call('LRANGE', bound, 0, -1)) do
    redis.call('SET', P .. ':t:' .. token, hash, 'KEEPTTL')
  end
  redis.call('RENAME', bound, P .. ':b:' .. hash)
end
return 1
