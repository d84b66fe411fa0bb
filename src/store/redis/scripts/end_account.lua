local key = index_key(ARGV[2])
local ended = 0
for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
  local hash = string.sub(member, 3)
  if string.sub(member, 1, 2) == 's:' then
    ended = ended + end_session(hash)
  else
    end_pending(hash)
  end
end
redis.call('DEL', key)
return ended
