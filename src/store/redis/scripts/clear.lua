return redis.call('DEL', P .. ':c:' .. ARGV[2])
