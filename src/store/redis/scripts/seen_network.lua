local name, network = unpack(ARGV, 2)
return redis.call('HGET', P .. ':n:' .. name, network)
