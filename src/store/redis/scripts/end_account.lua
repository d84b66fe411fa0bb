-- ARGV from the second: account, hash of the session to keep (optional).
local key, keep = index_key(ARGV[2]), ARGV[3]
local ended = 0
for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
  local hash = string.sub(member, 3)
  if string.sub(member, 1, 2) ~= 's:' then
    end_pending(hash)
  elseif hash ~= keep then
    ended = ended + end_session(hash)
  end
end
if not keep then
  redis.call('DEL', key)
end
return ended
