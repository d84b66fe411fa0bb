-- ARGV from the second: key, tries without a wait, first wait, longest wait, time after which all is
-- forgotten, the last three in milliseconds; again for every counter.
local wait = 0
for i = 2, #ARGV, 5 do
  wait = math.max(wait, redis.call('PTTL', P .. ':c:' .. ARGV[i] .. ':wait'))
end
if wait > 0 then
  return wait
end
for i = 2, #ARGV, 5 do
  local key = P .. ':c:' .. ARGV[i]
  local free, first, longest, forget = unpack(ARGV, i + 1, i + 4)
  local beyond = redis.call('INCR', key) - tonumber(free)
  redis.call('PEXPIRE', key, forget)
  if beyond >= 0 then
    local ms = math.min(tonumber(longest), tonumber(first) * 2 ^ math.min(beyond, 40))
    redis.call('SET', key .. ':wait', 1, 'PX', string.format('%d', ms))
  end
end
return 0
