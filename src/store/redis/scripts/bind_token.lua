-- bind_token
-- ARGV from the second: hash of the session's token, of the app's token, how many at most,
-- milliseconds to live.
local session, token, most, ms = unpack(ARGV, 2)
local account = redis.call('HGET', P .. ':s:' .. session, 'account')
if not account then
  return 0
end
local key, list = P .. ':t:' .. token, P .. ':b:' .. session
local bound = redis.call('GET', key)
if bound then
  local other = redis.call('HGET', P .. ':s:' .. bound, 'account')
  if other and other ~= account then
    return 0
  end
  redis.call('LREM', P .. ':b:' .. bound, 0, token)
end
redis.call('SET', key, session, 'PX', ms)
redis.call('RPUSH', list, token)
redis.call('PEXPIRE', list, ms)
-- The first one stays: the sign-in gave it out, and what it was handed to sends no other.
while redis.call('LLEN', list) > tonumber(most) do
  local old = redis.call('LINDEX', list, 1)
  redis.call('LREM', list, 1, old)
  redis.call('DEL', P .. ':t:' .. old)
end
return 1
