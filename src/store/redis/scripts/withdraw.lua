-- ARGV from the second: hash of the token, name of the offer to withdraw.
return redis.call('HDEL', P .. ':s:' .. ARGV[2], ARGV[3])
