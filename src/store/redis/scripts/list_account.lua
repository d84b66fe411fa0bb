local key = index_key(ARGV[2])
local sessions = {}
for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
  -- Whoever knows the password can begin any number of logins: they are not looked at.
  if string.sub(member, 1, 2) == 's:' then
    local hash = string.sub(member, 3)
    local session = redis.call('HMGET', P .. ':s:' .. hash, 'record', 'seen', 'due', 'authenticator', 'recovery_codes', 'changes')
    if session[1] then
      table.insert(session, redis.call('LRANGE', branches_key(hash), 0, -1))
      table.insert(sessions, session)
    else
      redis.call('ZREM', key, member)
    end
  end
end
return sessions
