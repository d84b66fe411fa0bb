-- ARGV from the second: hash of the app token.
local session = redis.call('GET', P .. ':t:' .. ARGV[2])
if not session or redis.call('EXISTS', P .. ':s:' .. session) == 0 then
  return false
end
return session
