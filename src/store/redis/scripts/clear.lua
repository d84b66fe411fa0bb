return redis.call('DEL', P .. ':c:' .. ARGV[2], P .. ':c:' .. ARGV[2] .. ':wait')
