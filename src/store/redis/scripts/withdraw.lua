-- ARGV from the second: hash of the token, what is taken back.
return redis.call('HDEL', P .. ':s:' .. ARGV[2], ARGV[3])
