-- ARGV from the second: kind of the record, field with its group, hash, record, group, time, expiry, lifetime in
-- milliseconds, maximum number of records in the group.
local kind, field, id, record, group, now, expires, ms, most = unpack(ARGV, 2)
local records = P .. ':' .. kind .. ':'
redis.call('HSET', records .. id, 'record', record, 'expires', expires, field, group)
redis.call('PEXPIRE', records .. id, ms)
join(P .. ':' .. kind .. 'g:' .. group, records, id, now, expires, ms, most)
return 1
