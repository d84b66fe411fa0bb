return redis.call('HDEL', P .. ':s:' .. ARGV[2], 'due')
