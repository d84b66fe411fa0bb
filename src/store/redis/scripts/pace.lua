-- ARGV from the second, for each counter: key, owner of the attempt, attempts without backoff,
-- first backoff, maximum backoff, time after which the counter is reset, the last three in
-- milliseconds. A backoff stores the owner of the attempt that caused it.
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
