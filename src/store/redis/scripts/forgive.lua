for i = 2, #ARGV do
  local key = P .. ':c:' .. ARGV[i]
  local tries = tonumber(redis.call('GET', key) or 0)
  if tries > 1 then
    redis.call('DECR', key)
  elseif tries == 1 then
    redis.call('DEL', key)
  end
end
return 1
