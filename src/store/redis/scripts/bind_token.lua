-- ARGV from the second: hash of the session token, hash of the app token, maximum number of app
-- tokens, time to live in milliseconds.
local session, token, most, ms = unpack(ARGV, 2)
local account = redis.call('HGET', P .. ':s:' .. session, 'account')
if not account then
  guard(P .. ':s:' .. session)
  return 0
end
local key, list = P .. ':t:' .. token, P .. ':b:' .. session
local bound = redis.call('GET', key)
if bound then
  local other = redis.call('HGET', P .. ':s:' .. bound, 'account')
  if other and other ~= account then
    guard(P .. ':s:' .. session)
    return 0
  end
end
-- The first write, which a full server rejects.
redis.call('SET', key, session, 'PX', ms)
if bound then
  redis.call('LREM', P .. ':b:' .. bound, 0, token)
end
redis.call('RPUSH', list, token)
redis.call('PEXPIRE', list, ms)
-- Keep the first token: the sign-in issued it, and its client sends no other.
while redis.call('LLEN', list) > tonumber(most) do
  local old = redis.call('LINDEX', list, 1)
  redis.call('LREM', list, 1, old)
  redis.call('DEL', P .. ':t:' .. old)
end
return 1
