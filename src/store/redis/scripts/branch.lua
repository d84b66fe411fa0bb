-- ARGV from the second: hash of the root's token, hash of the branch's token, tree, app, proofs, time to
-- live in milliseconds, maximum number of branches in all and at the app.
local root, hash, tree, app, proofs, ms, most, most_of_app = unpack(ARGV, 2)
local root_key, list = P .. ':s:' .. root, branches_key(root)
local known = redis.call('HMGET', root_key, 'account', 'record')
if not known[1] or not known[2] then
  guard(root_key)
  return 0
end
-- The first write, which a full server rejects. App tokens are bound by the account; versions that know no
-- branches end them by account and id.
redis.call('HSET', P .. ':s:' .. hash, 'account', known[1], 'id', hash, 'root', root, 'tree', tree, 'app', app, 'proofs', proofs)
redis.call('PEXPIRE', P .. ':s:' .. hash, ms)
redis.call('RPUSH', list, hash .. ' ' .. tree .. ' ' .. app)
redis.call('PEXPIRE', list, ms)
local members, at_app = redis.call('LRANGE', list, 0, -1), {}
for _, member in ipairs(members) do
  if string.sub(member, -#app - 1) == ' ' .. app then
    table.insert(at_app, member)
  end
end
local oldest = {unpack(members, 1, #members - tonumber(most))}
for _, member in ipairs({unpack(at_app, 1, #at_app - tonumber(most_of_app))}) do
  table.insert(oldest, member)
end
for _, member in ipairs(oldest) do
  redis.call('LREM', list, 1, member)
  redis.call('DEL', P .. ':s:' .. branch_of(member))
end
return 1
