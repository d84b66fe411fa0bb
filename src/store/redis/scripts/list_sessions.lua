-- ARGV from the second: hashes of tokens. Returns the sessions among them that are not branches, each
-- with its branches.
local sessions = {}
for i = 2, #ARGV do
  local session = redis.call('HMGET', P .. ':s:' .. ARGV[i], 'record', 'seen', 'due', 'authenticator', 'recovery_codes', 'changes')
  if session[1] then
    table.insert(session, redis.call('LRANGE', branches_key(ARGV[i]), 0, -1))
    table.insert(sessions, session)
  end
end
return sessions
