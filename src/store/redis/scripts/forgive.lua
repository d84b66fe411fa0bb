-- ARGV from the second, for each counter: key, owner of the attempt (empty to keep the backoff).
for i = 2, #ARGV, 2 do
  local key, by = P .. ':c:' .. ARGV[i], ARGV[i + 1]
  local tries = tonumber(redis.call('GET', key) or 0)
  if tries > 1 then
    redis.call('DECR', key)
  elseif tries == 1 then
    redis.call('DEL', key)
  end
  if by ~= '' and redis.call('GET', key .. ':wait') == by then
    redis.call('DEL', key .. ':wait')
  end
end
return 1
