local login, hash, id, account, record, started, seen, ms, due = unpack(ARGV, 2)
if not pending(login, started) then
  guard(P .. ':p:' .. login)
  return 0
end
-- The first write, which a full server rejects.
redis.call('SET', P .. ':i:' .. id, hash, 'PX', ms)
end_pending(login)
local key = P .. ':s:' .. hash
redis.call('HSET', key, 'account', account, 'id', id, 'record', record, 'seen', seen)
if due then
  redis.call('HSET', key, 'due', due)
end
redis.call('PEXPIRE', key, ms)
index(account, 's:' .. hash, tonumber(ms))
return 1
