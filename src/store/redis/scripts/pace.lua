-- ARGV from the second: key, whose try it is, tries without a wait, first wait, longest wait, time after
-- which all is forgotten, the last three in milliseconds; again for every counter. A wait holds whose
-- try brought it.
local wait = 0
for i = 2, #ARGV, 6 do
  wait = math.max(wait, redis.call('PTTL', P .. ':c:' .. ARGV[i] .. ':wait'))
end
if wait > 0 then
  return wait
end
for i = 2, #ARGV, 6 do
  local key = P .. ':c:' .. ARGV[i]
  local by, free, first, longest, forget = unpack(ARGV, i + 1, i + 5)
  local beyond = redis.call('INCR', key) - tonumber(free)
  redis.call('PEXPIRE', key, forget)
  if beyond >= 0 then
    local ms = math.min(tonumber(longest), tonumber(first) * 2 ^ math.min(beyond, 40))
    redis.call('SET', key .. ':wait', by, 'PX', string.format('%d', ms))
  end
end
return 0
