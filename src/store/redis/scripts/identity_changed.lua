-- ARGV from the second: the account.
for _, member in ipairs(redis.call('ZRANGE', index_key(ARGV[2]), 0, -1)) do
  local key = P .. ':' .. member
  if string.sub(member, 1, 2) == 's:' and redis.call('EXISTS', key) == 1 then
    redis.call('HINCRBY', key, 'changes', 1)
  end
end
return 1
