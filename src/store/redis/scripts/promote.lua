-- ARGV from the second: hash of the login, hash of the session's token, public id, account, record, start,
-- last use, time to live in milliseconds, maximum number of sessions of the account, codes due (optional).
local login, hash, id, account, record, started, seen, ms, most, due = unpack(ARGV, 2)
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
-- Ends the sessions beyond the maximum that would expire first, except the new one.
if redis.call('ZCARD', index_key(account)) > tonumber(most) then
  local others = {}
  for _, member in ipairs(redis.call('ZRANGE', index_key(account), 0, -1)) do
    if string.sub(member, 1, 2) == 's:' and member ~= 's:' .. hash then
      table.insert(others, member)
    end
  end
  -- Later sign-ins end the rest: a script stops all other clients.
  for n = 1, math.min(#others - (tonumber(most) - 1), 1000) do
    end_session(string.sub(others[n], 3))
    redis.call('ZREM', index_key(account), others[n])
  end
end
return 1
