-- ARGV from the second: hash of the old token, of the new one, public id, account, record, last use,
-- milliseconds to live, codes due, offered authenticator, offered codes. The last three may be empty.
local old, hash, id, account, record, seen, ms = unpack(ARGV, 2, 8)
if end_session(old) ~= 1 then
  return 0
end
local key = P .. ':s:' .. hash
redis.call('HSET', key, 'account', account, 'id', id, 'record', record, 'seen', seen)
for i, field in ipairs({'due', 'authenticator', 'recovery_codes'}) do
  if ARGV[8 + i] ~= '' then
    redis.call('HSET', key, field, ARGV[8 + i])
  end
end
redis.call('PEXPIRE', key, ms)
redis.call('SET', P .. ':i:' .. id, hash, 'PX', ms)
index(account, 's:' .. hash, tonumber(ms))
return 1
