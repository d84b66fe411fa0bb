local hash, record, ms = unpack(ARGV, 2)
local key = P .. ':f:' .. hash
redis.call('HSET', key, 'record', record)
redis.call('PEXPIRE', key, ms)
return 1
