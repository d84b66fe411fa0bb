-- ARGV from the second, for each counter: key, limit, window in milliseconds.
local wait = 0
for i = 2, #ARGV, 3 do
  local key, tries, window = P .. ':c:' .. ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  if tonumber(redis.call('GET', key) or 0) >= tries then
    local left = redis.call('PTTL', key)
    if left < 1 then
      left = window
    end
    wait = math.max(wait, left)
  end
end
if wait > 0 then
  return wait
end
for i = 2, #ARGV, 3 do
  local key, window = P .. ':c:' .. ARGV[i], tonumber(ARGV[i + 2])
  redis.call('INCR', key)
  if redis.call('PTTL', key) < 0 then
    redis.call('PEXPIRE', key, window)
  end
end
return 0
