local found = redis.call('HMGET', P .. ':q:' .. ARGV[2], 'account', 'sealed', 'expires')
return found[1] and found
