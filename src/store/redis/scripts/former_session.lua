return redis.call('HGET', P .. ':f:' .. ARGV[2], 'record')
