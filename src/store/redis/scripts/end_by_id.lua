local hash = redis.call('GET', P .. ':i:' .. ARGV[2])
if not hash then
  return 0
end
return end_session(hash)
