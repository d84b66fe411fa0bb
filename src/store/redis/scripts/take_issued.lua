-- ARGV from the second: kind of the record, field with its group, hash, now.
local kind, field, id, now = unpack(ARGV, 2)
local prefix = P .. ':' .. kind
local key = prefix .. ':' .. id
local known = redis.call('HMGET', key, 'record', 'expires', field)
if not known[1] then
  return false
end
redis.call('DEL', key)
redis.call('ZREM', prefix .. 'g:' .. known[3], id)
if tonumber(known[2]) <= tonumber(now) then
  return false
end
return known[1]
