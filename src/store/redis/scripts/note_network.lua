local name, network, at, till, account, most, ms = unpack(ARGV, 2)
local key = P .. ':n:' .. name
redis.call('HSET', key, network, at .. ':' .. till .. ':' .. account)
redis.call('PEXPIRE', key, ms)
while redis.call('HLEN', key) > tonumber(most) do
  local all = redis.call('HGETALL', key)
  local oldest, since
  for i = 1, #all, 2 do
    local seen = tonumber(string.match(all[i + 1], '^%d+'))
    if all[i] ~= network and (not since or seen < since) then
      oldest, since = all[i], seen
    end
  end
  if not oldest then
    break
  end
  redis.call('HDEL', key, oldest)
end
return 1
