local key = index_key(ARGV[2])
local sessions = {}
for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
  local kind, hash = string.sub(member, 1, 1), string.sub(member, 3)
  local record_key = P .. ':' .. kind .. ':' .. hash
  if redis.call('EXISTS', record_key) == 0 then
    redis.call('ZREM', key, member)
  elseif kind == 's' then
    local session = redis.call('HMGET', record_key, 'record', 'seen', 'due', 'authenticator', 'recovery_codes', 'changes')
    table.insert(session, redis.call('LRANGE', branches_key(hash), 0, -1))
    table.insert(sessions, session)
  end
end
return sessions
