-- ARGV from the second: hash of the app token.
local key = P .. ':t:' .. ARGV[2]
local session = redis.call('GET', key)
if not session then
  redis.call('DEL', key)
  return false
end
guard(P .. ':s:' .. session)
if redis.call('EXISTS', P .. ':s:' .. session) == 0 then
  return false
end
return session
