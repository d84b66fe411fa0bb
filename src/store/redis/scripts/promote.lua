local login, hash, id, account, record, started, seen, ms, due = unpack(ARGV, 2)
if not pending(login, started) or end_pending(login) ~= 1 then
  return 0
end
local key = P .. ':s:' .. hash
redis.call('HSET', key, 'account', account, 'id', id, 'record', record, 'seen', seen)
if due then
  redis.call('HSET', key, 'due', due)
end
redis.call('PEXPIRE', key, ms)
redis.call('SET', P .. ':i:' .. id, hash, 'PX', ms)
index(account, 's:' .. hash, tonumber(ms))
return 1
